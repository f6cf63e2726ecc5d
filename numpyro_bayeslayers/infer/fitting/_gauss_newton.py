r"""The curvature of a log posterior at a point, from Jacobian products.

Let $\eta(u)$ be the parameters of the distributions of the observations as functions of the
unconstrained latent sites $u$, and $F$ their Fisher information. The curvature is

$$\Lambda = \underbrace{J^T F J}_{\text{data}} - \nabla^2 \log p(u), \qquad
J = \partial \eta / \partial u$$
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array
from numpyro.distributions.util import is_identically_one
from numpyro.handlers import seed, substitute, trace
from numpyro.primitives import Messenger

from ..._linear_op import Dense
from ..._typing import Message, Model
from ...distributions._support import law_of
from ._observed_law import ObservedLaw


class Tap(NamedTuple):
    """A dense product in the model: its sites, and the shapes of its input and output.

    Args:
        weight: The site of the weight.
        bias: The site of the bias; None without one, or if it is not a site.
        shape: The shape of the input, (n, in).
        out: The shape of the output, (n, out).
    """

    weight: str
    bias: str | None
    shape: tuple[int, ...]
    out: tuple[int, ...]


class taps(Messenger):  # noqa: N801
    """Records the inputs of dense products of rows, and adds given arrays to their outputs."""

    def __init__(self, fn: Any, added: dict[str, Array] | None = None) -> None:
        self.added = added or {}
        self.found: dict[str, Tap] = {}
        self.inputs: dict[str, Array] = {}
        self.several: set[str] = set()
        self.last: tuple[str, ...] = ()
        super().__init__(fn)

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] != "linear":
            return
        weight, bias = msg["weight"], msg["bias"]
        name = weight.name or ""
        self.last = tuple(s.name for s in (weight, bias) if s is not None and s.name)
        x, shape = msg["args"][0], jnp.shape(msg["value"])
        is_dense = isinstance(msg["op"].exact, Dense) and jnp.ndim(x) == len(shape) == 2
        if not name or not is_dense or name in self.found or name in self.several:
            self.several.add(name)
            return
        own = bias.name if bias is not None else None
        self.found[name] = Tap(name, own or None, jnp.shape(x), shape)
        self.inputs[name] = x
        if name in self.added:
            msg["value"] = msg["value"] + self.added[name]


class Curvature:
    """The curvature of a model at a point, computed within a JAX trace.

    Args:
        model: The model, on all rows.
        args: Its arguments.
        kwargs: Its keyword arguments.
        unpack: The map from the flat vector to unconstrained sites.
        transform_of: The map from an unconstrained site to the site.
        others: Values of parameters and of the model's mutable state.
        loc: The point, flat.
        chosen: The entries of the flat vector that are included; all others are fixed.
    """

    def __init__(
        self,
        model: Model,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        unpack: Callable[[Array], dict[str, Array]],
        transform_of: Callable[[str], Any],
        others: dict[str, Any],
        loc: Array,
        chosen: np.ndarray,
    ) -> None:
        self._model, self._given = model, (args, kwargs)
        self._unpack, self._transform_of = unpack, transform_of
        self._others, self._loc, self._chosen = others, loc, chosen
        eta = self.laws(loc)
        keys = random.split(random.key(0), len(eta))
        self.columns = {n: eta[n].columns(k) for n, k in zip(eta, keys, strict=True)}
        self.weights = {n: law.weight for n, law in eta.items()}
        _, self._push = jax.linearize(self._params, loc[chosen])
        _, self._pull = jax.vjp(self._params, loc[chosen])

    def sites(
        self, flat: Array, added: dict[str, Array] | None = None
    ) -> tuple[dict[str, Message], dict[str, Array]]:
        """The trace of the model at a point, and the unconstrained values."""
        found, free, _ = self._at(flat, added)
        return found, free

    def _at(
        self, flat: Array, added: dict[str, Array] | None = None
    ) -> tuple[dict[str, Message], dict[str, Array], dict[str, Array]]:
        """The same, and the inputs of dense products; all belong to the caller's JAX trace."""
        free = self._unpack(flat)
        values = {n: self._transform_of(n)(x) for n, x in free.items()}
        model = substitute(seed(self._model, random.key(0)), data=self._others | values)
        tapped = taps(model, added)
        args, kwargs = self._given
        return trace(tapped).get_trace(*args, **kwargs), free, tapped.inputs

    def laws(
        self, flat: Array, added: dict[str, Array] | None = None
    ) -> dict[str, ObservedLaw]:
        """The distributions of the observations at a point."""
        sites, _ = self.sites(flat, added)
        return {n: ObservedLaw.of(s) for n, s in sites.items() if is_data(s)}

    def _whole(self, some: Array) -> Array:
        return self._loc.at[self._chosen].set(some)

    def _params(self, some: Array) -> dict[str, dict[str, Array]]:
        return {n: law.params for n, law in self.laws(self._whole(some)).items()}

    def densities(self, some: Array) -> tuple[Array, Array]:
        """The log densities of the data and of the unconstrained latent sites."""
        sites, free = self.sites(self._whole(some))
        data, prior = jnp.zeros(()), jnp.zeros(())
        for name, site in sites.items():
            if site["type"] != "sample":
                continue
            density = site["fn"].log_prob(site["value"])
            if site["scale"] is not None and not is_identically_one(site["scale"]):
                density = site["scale"] * density
            if is_data(site):
                data += jnp.sum(density)
                continue
            prior += jnp.sum(density)
            if name in free:
                transform = self._transform_of(name)
                prior += jnp.sum(transform.log_abs_det_jacobian(free[name], site["value"]))
        return data, prior

    def by_columns(self, tangent: Any) -> dict[str, Array]:
        """Products of weighted columns of the information with a change of the parameters."""
        found = {}
        for name, columns in self.columns.items():
            root = jnp.sqrt(self.weights[name])
            total = jnp.zeros(())
            for parameter, column in columns.items():
                product = column * tangent[name][parameter]
                axes = tuple(range(1 + root.ndim, product.ndim))
                total = total + product.sum(axes)
            found[name] = total * root
        return found

    def _back(self, products: dict[str, Array]) -> dict[str, dict[str, Array]]:
        """The sum of weighted columns of the information with such products as coefficients."""
        out: dict[str, dict[str, Array]] = {}
        for name, columns in self.columns.items():
            by = products[name] * jnp.sqrt(self.weights[name])
            lined_up = lambda x, by=by: by.reshape(by.shape + (1,) * (x.ndim - by.ndim))
            out[name] = {p: (x * lined_up(x)).sum(0) for p, x in columns.items()}
        return out

    def product(self, vector: Array) -> Array:
        """The data part of the curvature times a vector of the chosen entries."""
        (found,) = self._pull(self._back(self.by_columns(self._push(vector))))
        return found

    def products(self, vectors: Array) -> Array:
        """The product with several vectors, (k, d), one by one.

        Batches would be faster, but the algebraic simplifier of XLA in JAX 0.10 compiles a batch
        of 64 for 202 sites and 200 rows to a wrong, asymmetric matrix. The same program is right
        operation by operation, without that pass, and in JAX 0.12.
        """
        return jax.lax.map(self.product, vectors)

    def diagonal(self, entries: Array) -> Array:
        """The diagonal of the data part at some of the chosen entries."""

        def square(entry: Array) -> Array:
            unit = jnp.zeros(len(self._chosen)).at[entry].set(1.0)
            found = self.by_columns(self._push(unit))
            return sum((jnp.sum(x**2) for x in found.values()), jnp.zeros(()))

        return jax.lax.map(square, entries)

    def _prior_product(self, vector: Array) -> Array:
        slope = jax.grad(lambda some: -self.densities(some)[1])
        return jax.jvp(slope, (self._loc[self._chosen],), (vector,))[1]

    def prior(self) -> Array:
        """The prior part of the curvature, (d, d)."""
        return jax.lax.map(self._prior_product, jnp.eye(len(self._chosen)))

    def prior_diagonal(self) -> Array:
        """The diagonal of the prior part, (d,)."""

        def entry(at: Array) -> Array:
            unit = jnp.zeros(len(self._chosen)).at[at].set(1.0)
            return self._prior_product(unit)[at]

        return jax.lax.map(entry, jnp.arange(len(self._chosen)))

    def squared_distance(self, names: list[str]) -> Array:
        """The squared distance from the means of normal priors, in units of their scales."""
        sites, _ = self.sites(self._loc)
        total = jnp.zeros(())
        for name in names:
            law: Any = law_of(sites[name]["fn"])
            total += jnp.sum(((sites[name]["value"] - law.loc) / law.scale) ** 2)
        return total

    def factors(self, some: dict[str, Tap]) -> dict[str, tuple[Array, Array]]:
        r"""Second moments of the inputs and output gradients of dense products, summed over rows.

        $$A = \sum_n a_n a_n^T, \qquad G = \sum_n \sum_k g_{nk} g_{nk}^T$$
        """
        zeros = {name: jnp.zeros(tap.out) for name, tap in some.items()}
        params = lambda added: {
            n: law.params for n, law in self.laws(self._loc, added).items()
        }
        _, pull = jax.vjp(params, zeros)
        _, _, inputs = self._at(self._loc)
        sums = {name: jnp.zeros((tap.out[1],) * 2) for name, tap in some.items()}
        for name, columns in self.columns.items():
            root = jnp.sqrt(self.weights[name])

            def one(column: dict[str, Array], name: str = name, root: Array = root) -> Any:
                lined_up = lambda x: root.reshape(root.shape + (1,) * (x.ndim - root.ndim))
                nothing = jax.tree.map(lambda x: jnp.zeros(x.shape[1:]), self.columns)
                own = {p: x * lined_up(x) for p, x in column.items()}
                (found,) = pull(nothing | {name: own})
                return {n: g.T @ g for n, g in found.items()}

            parts = jax.lax.map(one, columns)
            sums = {n: total + parts[n].sum(0) for n, total in sums.items()}
        return {n: (inputs[n].T @ inputs[n], sums[n]) for n in some}


def is_data(site: Message) -> bool:
    """Whether a site is an observation; a `numpyro.factor` counts as prior."""
    if site["type"] != "sample" or not site["is_observed"]:
        return False
    return not isinstance(law_of(site["fn"]), dist.Unit)
