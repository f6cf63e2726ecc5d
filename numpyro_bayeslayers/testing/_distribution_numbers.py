"""Laws that compare a distribution with its own draws and with finite differences.

Laws that draw use fixed keys. The false-alarm probability of each is below 1e-5 for each entry
of the parameters, batch and event.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array
from numpyro.distributions import biject_to

from ._distribution_trial import NUM_DRAWS, DistributionTrial
from ._goodness_of_fit import Z_LIMIT, check_fit

# In standard errors; for heavy tails the standard error itself is estimated poorly.
MOMENT_LIMIT = 6.0


def law_density(trial: DistributionTrial) -> None:
    """Draws have the density given by `log_prob`, including its normalization."""
    with jax.enable_x64(True):
        check_fit(trial.double.distribution, trial.many)


def law_moments(trial: DistributionTrial) -> None:
    """Mean and variance, where finite, agree with those of many draws."""
    draws = np.asarray(trial.many, np.float64)
    center, root = draws.mean(axis=0), np.sqrt(len(draws))
    squares = (draws - center) ** 2
    found = {"mean": (center, draws.std(axis=0)),
             "variance": (squares.mean(axis=0), squares.std(axis=0))}  # fmt: skip
    with jax.enable_x64(True):
        moments = {n: np.asarray(m) for n, m in trial.moments(trial.double.distribution)}
    # Without a finite variance, the mean of draws has no standard error.
    is_finite = np.isfinite(moments.get("variance", 0.0))
    for name, expected in moments.items():
        average, spread = found[name]
        error = np.abs(average - expected) - MOMENT_LIMIT * spread / root
        too_far = is_finite & np.isfinite(expected) & (error > 1e-6)
        assert not too_far.any(), f"the {name} is {expected}, that of draws {average}"


def law_density_gradients(trial: DistributionTrial) -> None:
    """Gradients of the log density agree with finite differences and are finite at zero."""
    with jax.enable_x64(True):
        double, draws = trial.double, jnp.asarray(trial.many[:4])
        # Zero, or a value close to it inside the support.
        middle = double.distribution.support.feasible_like(draws[:1])
        along = _along(double, jnp.concatenate([draws, middle]))
        names = [f"`{name}`" for name in double.movable]
        if not double.distribution.is_discrete:
            names.append("the value")
        evaluate = jax.jit(lambda zero: _derivatives(along, zero))
        found = evaluate(jnp.zeros(len(names)))
    forward, numeric, reverse = map(np.asarray, found)
    for i, name in enumerate(names):
        says = f"the derivative by {name}"
        assert np.all(np.isfinite(forward[i])), f"{says} is not finite"
        np.testing.assert_allclose(
            forward[i][:-1], numeric[i][:-1], rtol=1e-4, atol=1e-5, err_msg=says
        )
        np.testing.assert_allclose(
            reverse[i], np.sum(forward[i]), rtol=1e-6, atol=1e-7, err_msg=f"reverse {says}"
        )


def _along(trial: DistributionTrial, x: Array) -> Callable[[Array], Array]:
    """The log density as a function of one step per parameter and one for the value."""
    names = trial.movable

    def log_prob(steps: Array) -> Array:
        d = trial.at(**{n: trial.moved(n, s) for n, s in zip(names, steps, strict=False)})
        if len(steps) == len(names):
            return d.log_prob(x)
        bijection = biject_to(trial.distribution.support)
        u = bijection.inv(x)
        direction = np.random.default_rng(1).normal(size=u.shape)
        return d.log_prob(bijection(u + steps[-1] * direction))

    return log_prob


def _derivatives(f: Callable[[Array], Array], at: Array) -> tuple[Array, Array, Array]:
    """Derivatives by forward mode and central differences, and of the sum by reverse mode."""
    step = 1e-5
    basis = jnp.eye(len(at))
    forward = jax.vmap(jax.linearize(f, at)[1])(basis)
    above, below = (jax.vmap(f)(at + sign * step * basis) for sign in (1, -1))
    reverse = jax.grad(lambda steps: jnp.sum(f(steps)))(at)
    return forward, (above - below) / (2 * step), reverse


def law_sample_gradients(trial: DistributionTrial) -> None:
    r"""Derivatives of reparameterized draws agree with the density.

    For every test function $f$, the pathwise and the score-function estimators of the
    derivative of $\mathbb{E}[f(x)]$ have the same mean: $\mathbb{E}[\nabla f(x)^\top
    \partial_\theta x - f(x)\, \partial_\theta \log p(x)] = 0$. This does not hold for
    parameters that change the support.
    """
    d = trial.distribution
    names = [n for n in trial.movable if d.has_rsample or n in d.reparametrized_params]
    if not names:
        return
    with jax.enable_x64(True):
        double = trial.double

        def at(steps: Array) -> dist.Distribution:
            moved = {n: double.moved(n, s) for n, s in zip(names, steps, strict=True)}
            return double.at(**moved)

        @jax.jit
        def evaluate(zero: Array) -> tuple[Array, Array, Array]:
            each = jnp.eye(len(names))
            sample = lambda steps: at(steps).sample(random.key(3), (NUM_DRAWS // 4,))
            draws, path = jax.linearize(sample, zero)
            score = jax.linearize(lambda steps: at(steps).log_prob(draws), zero)[1]
            return draws, jax.vmap(path)(each), jax.vmap(score)(each)

        found = evaluate(jnp.zeros(len(names)))
    draws, paths, scores = (np.asarray(a, np.float64) for a in found)
    numbers = draws.shape[: 1 + len(d.batch_shape)] + (-1,)
    for name, path, score in zip(names, paths, scores, strict=True):
        for bump in range(3):
            _check_path(draws.reshape(numbers), path.reshape(numbers), score, name, bump)


def _check_path(
    draws: np.ndarray, path: np.ndarray, score: np.ndarray, name: str, bump: int
) -> None:
    """One test function: a bump off the center, about as wide as the draws."""
    low, center, high = np.quantile(draws, [0.25, 0.5, 0.75], axis=0)
    dim = draws.shape[-1]
    width = 0.75 * np.sqrt(dim) * (high - low) + 1e-12
    offset = np.random.default_rng(bump).uniform(-0.5, 0.5, size=dim)
    y = (draws - center) / width - offset / np.sqrt(dim)
    f = np.exp(-0.5 * np.sum(y**2, axis=-1))
    slope = np.sum(-y * path / width, axis=-1) * f
    gap = slope - f * score  # both vanish in the tails, so rare draws have no influence
    z = gap.mean(axis=0) / (gap.std(axis=0) / np.sqrt(len(gap)) + 1e-12)
    assert np.all(np.abs(z) < Z_LIMIT), (
        f"derivatives of draws by `{name}` do not agree with the density: "
        f"{np.abs(z).max():.1f} standard errors"
    )
