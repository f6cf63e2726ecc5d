r"""Automatic choice of the centeredness of hierarchical sites, from a short run.

For a site $\theta \sim N(\mu, \sigma^2)$ about which the data have precision $i$, given the
other sites, the best centeredness is $i / (i + \sigma^{-2})$: the proportion of its information
that comes from the data (Papaspiliopoulos, Roberts and Sköld 2007, section 2). The precision of
the data is the diagonal of a Hessian, estimated by products with random signs. If $\sigma$ is
uncertain, so is this proportion. Since the neck of a funnel costs more than a ridge, the lower
estimate is used: the mean of the log odds minus two standard deviations; small proportions
become zero.

The draws of a run also give the scales of the coordinates: the diagonal matrix with the entries
$\sqrt{\mathrm{Var}(x) / \mathrm{Var}(\nabla \log p(x))}$ minimizes the Fisher divergence from a
normal distribution, exactly the variances if the posterior is one of independent coordinates,
also from few and correlated draws (Seyboldt, Carlson and Carpenter 2026, "Preconditioning
Hamiltonian Monte Carlo by minimizing Fisher divergence"). The warm-up starts with them: its
first trajectories would otherwise be its longest.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.extend.core import Literal
from jax.scipy.special import expit, logit
from jaxtyping import Array
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import HMC
from numpyro.infer.util import constrain_fn, log_density, potential_energy
from numpyro.primitives import _PYRO_STACK, Messenger

from ..._centering import RECENTERED, Around, Asked, loc_scale_of, value_at
from ..._typing import Message, Model, PRNGKey
from ...handlers import recenter
from ...handlers._feasible import feasible
from ..compilation._effort import once
from ._chains import Begun
from ._functions import EnsembleResult
from ._mcmc import EnsembleMCMC

#: The argument of a model with the centeredness of its sites; it sorts after its rows.
CENTERING = "~centering"

#: The proportion below which a site is not centered; the number of standard deviations that are
#: subtracted; and the distance of proportions from 0 and 1 at which they are clipped.
LEAST, AWAY, SURE = 0.3, 2.0, 1e-3
#: The number of random sign vectors per draw that estimate the diagonal.
PROBES = 4
#: The numbers of steps of the trials (0 uses the initial values), and the shortest warm-up for
#: which there are trials.
TRIALS, SHORTEST = (0, 20, 40), 100


def is_tried(chains: EnsembleMCMC) -> bool:
    """Whether chains use gradients and have a long enough warm-up."""
    return isinstance(chains.kernel, HMC) and chains.num_warmup >= SHORTEST


def with_centering(model: Model) -> Model:
    """The model of rows with the centeredness of its sites as an additional argument."""

    def between(**rows: Any) -> Any:
        centering = rows.pop(CENTERING)
        return recenter(model, centering)(**rows) if centering else model(**rows)

    return between


class _noting(Messenger):  # noqa: N801
    """Records the location and scale of location-scale sites by name."""

    def __init__(self, fn: Model) -> None:
        self.found: dict[str, Around] = {}
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "centering" and msg["value"] is None:
            at = next(i for i, other in enumerate(_PYRO_STACK) if other is self)
            name = msg["args"][0][at]
            note = lambda around: self.found.update({name: around})
            msg["value"] = Asked(name, None, note)
        elif msg["type"] == "sample" and not msg["is_observed"]:
            name, found = msg["name"], loc_scale_of(msg["fn"])
            if any(name == around.own for around in self.found.values()):
                return
            if found is not None and not found.transforms:
                self.found[name] = Around(name, found.loc, found.scale, 1.0)


def _look(model: Model, rows: Any, values: dict[str, Any]) -> tuple[dict, dict]:
    """The locations and scales of sites at given values of all latent sites, and the trace."""
    noting = _noting(model)
    sites = trace(substitute(seed(noting, random.key(0)), data=values)).get_trace(**rows)
    return noting.found, sites


class Coordinates:
    """The sites of a model that can be reparameterized.

    Args:
        model: A model of rows.
        rows: Its arguments.
    """

    def __init__(self, model: Model, rows: dict[str, Any]) -> None:
        self._model = model
        shapes: dict[str, Any] = {}
        names: list[str] = []
        drawn: list[Any] = []

        def run(rows: dict[str, Any]) -> dict[str, Any]:
            found, sites = _look(feasible(model), rows, {})
            names.extend(found)
            latent = lambda s: s["type"] == "sample" and not s["is_observed"]
            drawn.extend(s["fn"].support for s in sites.values() if latent(s))
            owns = {around.own: name for name, around in found.items()}
            shapes.update({owns[n]: jnp.shape(sites[n]["value"]) for n in owns})
            return {n: s["value"] for n, s in sites.items() if latent(s)}

        self._latents = jax.eval_shape(run, rows)
        self._shapes = shapes
        # Discrete sites are summed out by the kernel, which is not possible here.
        is_smooth = not any(support.is_discrete for support in drawn)
        among = self._hierarchical(rows) if names and is_smooth else set()
        self.names = tuple(n for n in names if n in among)
        self._choose = once(self._chosen)
        self._move = once(self._moved)

    def at(self, centered: float) -> dict[str, Array]:
        """The same centeredness for all of them."""
        return {name: jnp.full(self._shapes[name], centered) for name in self.names}

    def _hierarchical(self, rows: dict[str, Any]) -> set[str]:
        """The sites whose location or scale depends on other latent sites."""
        order: list[str] = []

        def around(values: dict[str, Any], rows: dict[str, Any]) -> list[Any]:
            found, _ = _look(self._model, rows, values)
            order.extend(found)
            return [jnp.asarray(a.loc) + jnp.asarray(a.scale) for a in found.values()]

        closed = jax.make_jaxpr(around)(self._latents, rows)
        program = closed.jaxpr
        latent = set(program.invars[: len(jax.tree.leaves(self._latents))])
        # Forward pass: values computed from latent sites, one equation at a time.
        for equation in program.eqns:
            if any(not isinstance(v, Literal) and v in latent for v in equation.invars):
                latent.update(equation.outvars)
        is_one = [not isinstance(v, Literal) and v in latent for v in program.outvars]
        return {name for name, one in zip(order, is_one, strict=True) if one}

    def start_of(
        self, values: dict[str, Any], centering: Mapping[str, Any], rows: dict[str, Any]
    ) -> dict[str, Array]:
        """Values of the latent sites in other coordinates, with a leading axis of chains."""
        return self._move(values, dict(centering), rows)

    def _moved(self, values: Any, centering: Any, rows: Any) -> dict[str, Array]:
        def one(values: dict[str, Any]) -> dict[str, Array]:
            found, sites = _look(self._model, rows, values)
            return self._renamed(values, found, sites, centering)

        return jax.vmap(one)(values)

    def _renamed(
        self, values: Any, found: Any, sites: Any, centering: Any
    ) -> dict[str, Any]:
        kept = dict(values)
        for name, c in centering.items():
            own, loc, scale, centered = found[name]
            kept.pop(own, None)
            z = value_at(sites[own]["value"], loc, scale, centered, c)
            kept[name + RECENTERED] = jnp.broadcast_to(z, jnp.shape(sites[own]["value"]))
        return kept

    def choose(
        self, key: PRNGKey, positions: dict[str, Any], centering: Any, rows: Any
    ) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
        """The centeredness of each entry; the last positions in these coordinates; and variances.

        Args:
            key: The random key of the signs.
            positions: Unconstrained values in the current coordinates, (looks, chains, *site).
            centering: The current centeredness.
            rows: The arguments of the model.
        """
        seeds = random.key_data(key)
        return self._choose(positions, centering, rows, seeds)

    def _chosen(self, positions: Any, centering: Any, rows: Any, seeds: Any) -> Any:
        between = seed(with_centering(self._model), random.key(0))
        kwargs = {**rows, CENTERING: centering}

        def own_values(z: dict[str, Array]) -> dict[str, Array]:
            values = constrain_fn(between, (), kwargs, z, return_deterministic=True)
            return {name: values[name] for name in self._latents}

        def share(z: dict[str, Array], key: Array) -> dict[str, Array]:
            return self._shares(own_values(z), rows, key)

        looks, chains = jax.tree.leaves(positions)[0].shape[:2]
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), positions)
        keys = random.split(random.wrap_key_data(seeds), looks * chains)
        # One draw at a time, with the memory of one Hessian-vector product.
        shares = jax.lax.map(lambda each: share(*each), (flat, keys))
        chosen = {name: careful(each) for name, each in shares.items()}

        def moved(z: dict[str, Array]) -> dict[str, Array]:
            values = own_values(z)
            found, sites = _look(self._model, rows, values)
            values = self._renamed(values, found, sites, chosen)
            # Other sites keep their unconstrained values.
            is_new = lambda n: n.endswith(RECENTERED) or n not in z
            return {n: x if is_new(n) else z[n] for n, x in values.items()}

        draws = jax.vmap(moved)(flat)
        given = {**rows, CENTERING: chosen}
        slope = jax.grad(lambda z: potential_energy(between, (), given, z))
        led = lambda x: x.reshape(looks, chains, *x.shape[1:])
        draws, slopes = jax.tree.map(led, (draws, jax.lax.map(slope, draws)))
        last = jax.tree.map(lambda x: x[-1], draws)
        return chosen, last, jax.tree.map(variances, draws, slopes)

    def _shares(self, values: dict[str, Array], rows: Any, key: Array) -> dict[str, Array]:
        """The proportion of information from the data on each entry, given the other sites."""
        found, sites = _look(self._model, rows, values)
        owns = {found[name].own: values[found[name].own] for name in self.names}
        seeded = seed(self._model, random.key(0))

        def joint(own: dict[str, Array]) -> Array:
            return log_density(seeded, (), rows, {**values, **own})[0]

        def prior(own: dict[str, Array]) -> Array:
            terms = [sites[n]["fn"].log_prob(x).sum() for n, x in own.items()]
            return jnp.sum(jnp.stack(terms))

        def curvature(fn: Any, along: Any) -> Any:
            _, product = jax.jvp(jax.grad(fn), (owns,), (along,))
            return jax.tree.map(lambda a, b: -a * b, along, product)

        def probe(key: Array) -> Any:
            keys = dict(zip(owns, random.split(key, len(owns)), strict=True))
            signs = lambda n, x: random.rademacher(keys[n], x.shape, x.dtype)
            return curvature(joint, {n: signs(n, x) for n, x in owns.items()})

        whole = jax.tree.map(
            lambda x: x.mean(0), jax.vmap(probe)(random.split(key, PROBES))
        )
        alone = curvature(prior, jax.tree.map(jnp.ones_like, owns))
        shares = {}
        for name in self.names:
            own, _, scale, centered = found[name]
            info = jnp.maximum(scale ** (2 * centered) * (whole[own] - alone[own]), 0.0)
            shares[name] = info / (1.0 + info)
        return shares


def careful(shares: Array) -> Array:
    """A lower estimate of the centeredness from draws of the proportion, on the first axis."""
    odds = logit(jnp.clip(shares, SURE, 1.0 - SURE))
    level = expit(jnp.nanmean(odds, 0) - AWAY * jnp.nanstd(odds, 0))
    return jnp.where(level >= LEAST, level, 0.0)


def variances(draws: Array, slopes: Array) -> Array:
    """Those of a posterior of independent normals, from gradients at draws, (looks, chains, ...).

    They are 1 where the draws do not tell.
    """
    within = lambda x: jnp.var(x, 0).mean(0)
    found = jnp.sqrt(within(draws) / within(slopes))
    return jnp.where(jnp.isfinite(found) & (found > 0), found, 1.0)


def is_scaled(kernel: Any) -> bool:
    """Whether the warm-up of a kernel learns its mass matrix, and begins with the identity."""
    return kernel._adapt_mass_matrix and kernel._inverse_mass_matrix is None


def find(
    chains: EnsembleMCMC,
    coordinates: Coordinates,
    key: PRNGKey,
    start: dict[str, Any] | None,
    rows: dict[str, Any],
    fields: tuple[str, ...],
) -> tuple[dict[str, Array], Any, Begun | None]:
    """The centeredness of a model's sites from the start and a short trial, and the last positions.

    The trial is the beginning of the warm-up, which goes on from it in the new coordinates.

    Args:
        chains: HMC or NUTS chains of the model `with_centering`.
        coordinates: The coordinates of the model.
        key: The random key.
        start: Values of the model's latent sites with a leading axis of chains, or None.
        rows: The arguments of the model.
        fields: The fields that the following run will collect.
    """
    centering, init, begun = coordinates.at(0.5), None, None
    if start is not None:
        moved = coordinates.start_of(start, centering, rows)
        given = {**rows, CENTERING: centering}
        kernel: Any = chains.kernel
        init = chains._start(moved, kernel.model, (), given, True)
    for i, num_steps in enumerate(TRIALS):
        kwargs = {**rows, CENTERING: centering}
        own = random.fold_in(key, i + 1)
        trial = own, init, num_steps, fields, kwargs, begun
        positions, begun = chains._first_positions(*trial)
        centering, init, scales = coordinates.choose(own, positions, centering, rows)
        if is_scaled(chains.kernel):
            scales = jax.tree.map(np.asarray, scales)
            # The step size was that of other scales.
            begun = begun._replace(variances=scales, step_size=None)
    return centering, init, begun


def coordinates_of(
    centering: Any,
    chains: EnsembleMCMC,
    coordinates: Coordinates,
    key: PRNGKey,
    start: dict[str, Any] | None,
    rows: dict[str, Any],
    fields: tuple[str, ...],
) -> tuple[dict[str, Array], Any, Begun | None]:
    """The centeredness of sites, the initial values in these coordinates, and what has begun.

    Args:
        centering: ``"auto"``, or numbers by site name.
        chains: Chains of the model `with_centering`.
        coordinates: The coordinates of the model.
        key: The random key.
        start: Values of the model's latent sites with a leading axis of chains, or None.
        rows: The arguments of the model.
        fields: The fields that the run will collect.
    """
    if centering == "auto":
        found, last, begun = find(chains, coordinates, key, start, rows, fields)
        return found, EnsembleResult(last, jnp.zeros((0, 0)), None), begun
    given = {name: jnp.asarray(c, float) for name, c in centering.items()}
    moved = None if start is None else coordinates.start_of(start, given, rows)
    return given, moved, None


def own_sites(samples: dict[str, Array]) -> dict[str, Array]:
    """The draws without the auxiliary coordinates that the model itself does not have."""
    return {name: x for name, x in samples.items() if not name.endswith(RECENTERED)}
