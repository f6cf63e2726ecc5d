"""Repulsion between ensemble members, in weight space or in function space."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from ... import _checks

Kernel = Callable[[Array, Array], Array]

_NO_FUNCTION = (
    '`function` and `rows` must be given with space="functions": for `EnsembleMAP` a function '
    "of parameters and rows, for `EnsembleSVI` and `fit` the name of a site and a dictionary "
    "of the model's arguments."
)
_NOT_READ = '`{name}` must be left out with space="weights", got {given!r}.'
_SEVERAL = "`repulsion` needs at least two members, got {size}."
_WHICH = "`repulsion` has a `function` of another kind: {kind} takes {what}, got {given!r}."


@dataclass(frozen=True, eq=False)
class Repulsion:
    """The repulsion that `repulsive` returns, for ensembles and methods of `fit`."""

    kernel: str | Kernel
    space: str
    weight: float
    function: Any
    rows: Any
    bandwidth: float | None

    def check_members(self, size: int, kind: str) -> None:
        """Check that it can be used with an ensemble of this kind and number of members.

        Raises:
            ValueError: If it cannot.
        """
        if size < 2:
            raise ValueError(_SEVERAL.format(size=size))
        is_name, given = isinstance(self.function, str), self.function
        if self.space == "functions" and is_name == (kind == "EnsembleMAP"):
            what = "the name of a site" if kind != "EnsembleMAP" else "a function"
            raise ValueError(_WHICH.format(kind=kind, what=what, given=given))

    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The rows as arguments of a model."""
        if isinstance(self.rows, Mapping):
            return (), dict(self.rows)
        return (self.rows if isinstance(self.rows, tuple) else (self.rows,)), {}

    def against(
        self, features: Float[Array, "e d"]
    ) -> Callable[[Float[Array, " d"]], Float[Array, ""]]:
        """The repulsion term of a member's loss as a function of its features; others are fixed."""
        there = lax.stop_gradient(features)
        kernel = self.kernel
        if isinstance(kernel, str):
            square = self._square(there)

            def kernel(one: Array, other: Array) -> Array:
                return jnp.exp(-jnp.sum((one - other) ** 2) / (2 * square))

        def added(own: Array) -> Array:
            return self.weight * jnp.log(
                jnp.mean(jax.vmap(lambda x: kernel(own, x))(there))
            )

        return added

    def _square(self, there: Array) -> Any:
        """The squared bandwidth; from the median distance if not given."""
        if self.bandwidth is not None:
            return self.bandwidth**2
        first, second = np.triu_indices(len(there), 1)
        squares = jnp.sum((there[first] - there[second]) ** 2, 1)
        found = jnp.median(squares) / (2 * np.log(len(there) + 1))
        return jnp.maximum(found, jnp.finfo(there.dtype).tiny)


def check_repulsion(repulsion: Repulsion | None, size: int, kind: str) -> None:
    """Check that `repulsion` is None or from `repulsive`, for an ensemble of this kind and size."""
    if repulsion is not None:
        _checks.instance("repulsion", repulsion, Repulsion, "what `repulsive` gives")
        repulsion.check_members(size, kind)


def repulsive(
    kernel: Literal["rbf"] | Kernel = "rbf",
    space: Literal["weights", "functions"] = "weights",
    *,
    weight: float = 1.0,
    function: Any = None,
    rows: Any = None,
    bandwidth: ArrayLike | None = None,
) -> Repulsion:
    r"""Repulsion between the members of an ensemble.

    $$\dot\theta_e = \nabla_{\theta_e} \log p(y, \theta_e)
    - \lambda \frac{\sum_j \nabla_{\theta_e} k(z_e, z_j)}{\sum_j k(z_e, z_j)}, \qquad
    z = \theta \;\text{ or }\; z = f_\theta(X)$$

    Members ascend the log density and move away from each other: the loss of member e has the
    additional term $\lambda \log \frac{1}{E} \sum_j k(z_e, z_j)$, in which the other members
    are held fixed. In function space, members repel each other by their predictions at the rows
    X; networks with different weights can represent the same function.

    Args:
        kernel: ``"rbf"``, $\exp(-|z - z'|^2 / 2 h^2)$, or a function from two vectors to a
            positive number.
        space: ``"weights"``, all unconstrained parameters, or ``"functions"``.
        weight: $\lambda$, at least 0; with 1, the members converge to posterior samples as
            their number grows.
        function: For ``"functions"``: in `EnsembleMAP`, a function of the parameters of one
            member and of `rows`; in `EnsembleSVI` and `fit`, the name of a site of the model.
        rows: The inputs at which functions are compared: the second argument of `function`, or
            a dictionary of the model's arguments. Choose rows away from the data.
        bandwidth: h, positive; if None, it is set by the median distance $m$ between members,
            $h^2 = m^2 / 2 \log(E + 1)$.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or `function` and `rows` are missing in
            function space or given in weight space.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from numpyro_bayeslayers.infer import EnsembleMAP
        >>> log_joint = lambda w, x, y: (0.0 * w, -0.5 * w**2)
        >>> apart = repulsive(bandwidth=0.5)
        >>> ensemble = EnsembleMAP(log_joint, jax.random.normal, optax.sgd(0.1), 4, repulsion=apart)
        >>> w = ensemble.run(0, 300, jnp.ones(2), jnp.ones(2), progress_bar=False).params
        >>> bool(w.std() > 0.5)
        True

    References:
        D'Angelo and Fortuin (2021), "Repulsive deep ensembles are Bayesian", NeurIPS,
        equations 4 and 11.
    """
    if not callable(kernel):
        kernel = _checks.one_of("kernel", kernel, ["rbf"])
    space = _checks.one_of("space", space, ["weights", "functions"])
    weight = float(_checks.non_negative("weight", weight))
    if bandwidth is not None:
        bandwidth = float(_checks.positive("bandwidth", bandwidth))
    if space == "functions":
        if function is None or rows is None:
            raise ValueError(_NO_FUNCTION)
        if not isinstance(function, str):
            _checks.function("function", function)
    else:
        for name, given in {"function": function, "rows": rows}.items():
            if given is not None:
                raise ValueError(_NOT_READ.format(name=name, given=given))
    return Repulsion(kernel, space, weight, function, rows, bandwidth)


class Adding:
    """A NumPyro optimizer with an additional loss term.

    Args:
        optim: The optimizer.
        more: The additional term, a function of the parameters.
    """

    def __init__(self, optim: Any, more: Callable[[Any], Array]) -> None:
        self._optim = optim
        self._more = more

    def get_params(self, state: Any) -> Any:
        """The parameters in a state."""
        return self._optim.get_params(state)

    def eval_and_update(self, fn: Callable[[Any], Any], state: Any, **options: Any) -> Any:
        """A step of the optimizer."""

        def whole(params: Any) -> Any:
            loss, beside = fn(params)
            return loss + self._more(params), beside

        return self._optim.eval_and_update(whole, state, **options)
