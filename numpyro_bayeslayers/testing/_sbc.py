"""Simulation-based calibration of inference methods."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Int
from numpyro.handlers import seed as with_seed, trace
from numpyro.infer import Predictive
from numpyro.infer.util import log_likelihood

from .. import _checks
from .._threads import ALONE
from .._typing import Model, PRNGKey, Seed
from ..handlers._feasible import feasible, is_improper
from ..infer import MCMC, fit
from ..metrics import rank_p_value

Sites: TypeAlias = dict[str, Any]
Posterior: TypeAlias = Callable[[PRNGKey, Array], Sites]

#: The quantity that detects a posterior that ignores the data.
LIKELIHOOD = "log_likelihood"

_PARAMS = (
    "`model` must have a prior for every unknown: {names} are optimized (`numpyro.param`), so "
    "they have no posterior."
)

_IMPROPER = (
    "`model` must have proper priors, and the prior of {names} is improper. Give it a proper "
    "distribution for this check."
)


class Calibration(NamedTuple):
    """The result of `sbc`. Ranks of a correct posterior are uniform.

    Args:
        ranks: For each quantity, the number of posterior draws below the value that generated
            the data, (replications, *quantity): integers from 0 to `num_draws`.
        num_draws: Number of posterior draws per replication.
        num_warned: Number of replications whose fit gave a warning.
    """

    ranks: dict[str, Int[np.ndarray, "r *quantity"]]
    num_draws: int
    num_warned: int

    @property
    def p_values(self) -> dict[str, Any]:
        """For each quantity, `numpyro_bayeslayers.metrics.rank_p_value` of each entry."""
        return {n: rank_p_value(r, self.num_draws) for n, r in self.ranks.items()}

    @property
    def p_value(self) -> float:
        """The p-value of uniform ranks, for all quantities jointly.

        It is the smallest p-value times the number of quantities (Bonferroni), so for correct
        posteriors it is below 0.01 with probability at most 1%, whatever the dependence between
        the quantities.
        """
        values = np.concatenate([np.ravel(p) for p in self.p_values.values()])
        return float(min(1.0, values.size * values.min()))

    def check(self, level: float = 1e-3) -> None:
        """Raise an error if uniform ranks are rejected.

        Args:
            level: The probability of rejecting a correct posterior, above 0 and below 1.

        Raises:
            AssertionError: If `p_value` is below `level`; the message names the worst
                quantities and how their ranks deviate.
        """
        level = float(_checks.share("level", level))
        if self.p_value < level:
            raise AssertionError(
                f"The posterior does not match the model, or its draws are dependent.\n{self}"
            )

    def __str__(self) -> str:
        found = self.p_values
        entries = [
            (float(p[at]), name, at)
            for name, p in found.items()
            for at in np.ndindex(p.shape)
        ]
        runs = len(next(iter(self.ranks.values())))
        lines = [f"{runs} replications, {len(entries)} quantities, p = {self.p_value:.2g}"]
        for p, name, at in sorted(entries)[:5]:
            where = f"{name}{list(at) if at else ''}"
            how = _deviation(self.ranks[name][(slice(None), *at)], self.num_draws)
            lines.append(f"{where}: p = {p:.2g}, {how}")
        if self.num_warned:
            lines.append(f"{self.num_warned} fits gave a warning")
        return "\n".join(lines)


def sbc(
    model: Model,
    *,
    method: Any = MCMC(num_chains=1),
    num_replications: int = 200,
    num_draws: int = 99,
    num_steps: int | None = None,
    quantities: Callable[[Sites], Sites] | None = None,
    constants: Mapping[str, Any] | None = None,
    seed: Seed = 0,
    **data: Any,
) -> Calibration:
    r"""Check an inference method by simulation-based calibration.

    Each replication draws parameters from the prior, data from the model at these parameters,
    and then draws from the posterior given these data:

    $$\tilde\theta \sim p(\theta), \quad \tilde y \sim p(y \mid \tilde\theta), \quad
    \theta_1, \dots, \theta_S \sim p(\theta \mid \tilde y), \qquad
    r = \sum_s [f(\theta_s) < f(\tilde\theta)]$$

    If the posterior is correct and its draws are independent, $r$ is uniform on $0, \dots, S$
    for each quantity $f$. The quantities are the entries of all sites and the log likelihood of
    $\tilde y$: a "posterior" that ignores the data has uniform ranks for the sites, and only
    the log likelihood detects it. Ties are broken at random.

    The power depends on `num_replications`: 200 replications detect a standard deviation that
    is half the correct one, but not one that is 5% too small. Draws of Markov chains are
    dependent; they are thinned evenly to `num_draws`, so run chains several times as long.

    Args:
        model: Any NumPyro model with an argument `y` that may be None, as in `fit`, whose
            priors are proper.
        method: A method of `fit`, such as `MCMC` or `VI`, or its name: `fit` is called in each
            replication and compiles only in the first. Or a function ``(key, y)`` that returns
            the draws of any sampler by site name, (draws, *site).
        num_replications: The number of data sets, at least 1.
        num_draws: Number of posterior draws used for the ranks, at least 1.
        num_steps: Number of optimization steps, as in `fit`.
        quantities: A function from site values by name to quantities by name; it is traced and
            called on one draw at a time. If None, all sites of the posterior.
        constants: Further arguments of the model that are not rows, by name.
        seed: A JAX random key or an integer.
        data: The other arguments of the model except `y`, as arrays.

    Returns:
        The ranks, with ``check()`` for tests and ``p_value``; `plots.plot_ranks` shows them.

    Raises:
        TypeError: If a number is not an integer, or `method` is neither a method nor a
            function.
        ValueError: If a number is out of range, a site is improper or optimized, no site
            observes `y`, or there are fewer draws than `num_draws`.

    Example:
        >>> import jax.numpy as jnp, jax.random as jr, numpyro, numpyro.distributions as dist
        >>> def model(y=None):
        ...     mean = numpyro.sample("mean", dist.Normal())
        ...     numpyro.sample("y", dist.Normal(mean, 1.0).expand([4]).to_event(1), obs=y)
        >>> def conjugate(key, y, spread=5**-0.5):
        ...     return {"mean": y.sum() / 5 + spread * jr.normal(key, (99,))}
        >>> sbc(model, method=conjugate).check()
        >>> narrow = lambda key, y: conjugate(key, y, spread=0.5 * 5**-0.5)
        >>> print(sbc(model, method=narrow))
        200 replications, 2 quantities, p = ...
        log_likelihood: p = ..., too narrow
        mean: p = ..., too narrow

    References:
        Talts, Betancourt, Simpson, Vehtari, Gelman (2018), "Validating Bayesian inference
        algorithms with simulation-based calibration", arXiv:1804.06788, Algorithm 1; Modrák
        et al. (2023), "Simulation-based calibration checking for Bayesian computation: the
        choice of test quantities shapes sensitivity", Bayesian Analysis, for the
        likelihood.
    """
    runs = _checks.size("num_replications", num_replications)
    num_draws = _checks.size("num_draws", num_draws)
    constants = {} if constants is None else dict(constants)
    if quantities is not None:
        _checks.function("quantities", quantities)
    key_prior, key_fit, key_ties = random.split(_checks.random_key("seed", seed), 3)
    given = {n: jnp.asarray(x) for n, x in data.items()} | constants
    with ALONE:
        observed, latent = _sites_of(model, given)
        truth = Predictive(model, num_samples=runs)(key_prior, y=None, **given)
        truth = {name: np.asarray(x) for name, x in truth.items()}
    if callable(method) and not isinstance(method, type):
        draw = method
    else:
        draw = _by_fit(model, method, num_steps, num_draws, constants, data)
    compare = _compared(model, observed, latent, quantities, given)
    rng = np.random.default_rng(np.asarray(random.key_data(key_ties)).ravel())
    ranks: dict[str, list[np.ndarray]] = {}
    num_warned = 0
    for r, key in enumerate(random.split(key_fit, runs)):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found = draw(key, jnp.asarray(truth[observed][r]))
        num_warned += bool(heard)
        found = {n: _evenly(n, x, num_draws) for n, x in found.items() if n in truth}
        first = {name: truth[name][r][None] for name in found}
        both = {name: np.concatenate([first[name], x]) for name, x in found.items()}
        with ALONE:
            values = compare(both, truth[observed][r])
        for name, value in values.items():
            ranks.setdefault(name, []).append(_ranked(np.asarray(value), rng))
    return Calibration({n: np.stack(r) for n, r in ranks.items()}, num_draws, num_warned)


def _by_fit(
    model: Model,
    method: Any,
    num_steps: int | None,
    num_draws: int,
    constants: dict[str, Any],
    data: dict[str, Any],
) -> Posterior:
    """A sampler of draws of `fit`, with all chains or members concatenated."""

    def draw(key: PRNGKey, y: Array) -> Sites:
        key_fit, key_draw = random.split(key)
        found = fit(
            model,
            y=np.asarray(y),
            method=method,
            num_steps=num_steps,
            seed=key_fit,
            progress_bar=False,
            constants=constants,
            **data,
        )
        given = found.draws(num_samples=num_draws, seed=key_draw, all=True)
        return {n: np.asarray(x).reshape(-1, *x.shape[2:]) for n, x in given.items()}

    return draw


def _sites_of(model: Model, given: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The site that observes `y`, and the latent ones."""

    def sites_with(y: Any) -> dict[str, Any]:
        seeded = with_seed(feasible(model), random.key(0))
        return trace(seeded).get_trace(y=y, **given)

    found = sites_with(None)
    if params := [n for n, s in found.items() if s["type"] == "param"]:
        raise ValueError(_PARAMS.format(names=", ".join(map(repr, params))))
    samples = {n: s for n, s in found.items() if s["type"] == "sample"}
    if names := [n for n, s in samples.items() if is_improper(s["fn"])]:
        raise ValueError(_IMPROPER.format(names=", ".join(map(repr, names))))
    free = [n for n, s in samples.items() if not s["is_observed"]]
    for name in reversed(free):
        try:
            site = sites_with(samples[name]["value"])[name]
        except Exception:  # observations of another shape
            continue
        if site["is_observed"]:
            return name, tuple(n for n in free if n != name)
    raise ValueError("`model` must observe its argument `y` at a site; no site does.")


def _compared(
    model: Model,
    observed: str,
    latent: tuple[str, ...],
    quantities: Callable[[Sites], Sites] | None,
    given: dict[str, Any],
) -> Callable[[Sites, Any], Sites]:
    """The quantities of all draws, and their log likelihood if all latent sites are present."""

    @jax.jit
    def values(draws: Sites, y: Any) -> Sites:
        out = dict(draws) if quantities is None else dict(jax.vmap(quantities)(draws))
        if all(name in draws for name in latent):
            known = {name: draws[name] for name in latent}
            terms = log_likelihood(model, known, y=y, **given)[observed]
            out[LIKELIHOOD] = terms.reshape(len(terms), -1).sum(1)
        return out

    return values


def _evenly(name: str, draws: Any, count: int) -> np.ndarray:
    if len(draws) < count:
        raise ValueError(
            f"`num_draws` must be at most the number of posterior draws, {len(draws)} for the "
            f"site {name!r}, got {count}."
        )
    return np.asarray(draws)[np.linspace(0, len(draws) - 1, count).round().astype(int)]


def _ranked(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The number of values after the first one that are smaller than it."""
    first, rest = values[0], values[1:]
    below, equal = (rest < first).sum(0), (rest == first).sum(0)
    return np.asarray(below + rng.integers(0, equal + 1))


def _deviation(ranks: np.ndarray, num_draws: int) -> str:
    """The larger deviation in words: location or width."""
    u = (ranks + 0.5) / (num_draws + 1) - 0.5
    place = np.sqrt(12 * len(u)) * u.mean()
    width = np.sqrt(180 * len(u)) * (np.square(u).mean() - 1 / 12)
    if abs(place) > abs(width):
        return "too low" if place > 0 else "too high"
    return "too narrow" if width > 0 else "too wide"
