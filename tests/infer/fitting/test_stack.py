"""Weights of fits and of members by held-out densities, against an optimizer of SciPy's."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import optimize, stats

from numpyro_bayeslayers.infer import Modes, fit, stack
from numpyro_bayeslayers.infer.fitting._stack import stacking_weights

pytestmark = pytest.mark.usefixtures("as_users_run")

RNG = np.random.default_rng(0)
X = RNG.normal(size=24)
Y = np.where(RNG.random(24) < 0.5, X, 2.0) + 0.3 * RNG.normal(size=24)


def best(logs):
    """The weights by sequential quadratic programming."""
    ratios = np.exp(logs - logs.max(0))
    count = len(logs)
    found = optimize.minimize(
        lambda w: -np.log(w @ ratios).mean(),
        np.full(count, 1 / count),
        jac=lambda w: -(ratios / (w @ ratios)).mean(1),
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.x, -found.fun


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_those_of_another_optimizer(seed):
    """Some weights are zero; members that nothing tells apart share theirs."""
    rng = np.random.default_rng(seed)
    y, means = rng.normal(size=60), rng.normal(size=5)
    logs = np.stack([stats.norm(m, s).logpdf(y) for m in means[:3] for s in (0.5, 1.5)])
    right, score = best(logs)
    got = stacking_weights(logs)
    top = logs.max(0)
    mine = (top + np.log(got @ np.exp(logs - top))).mean() - top.mean()
    assert mine > score - 1e-6
    np.testing.assert_allclose(got, right, atol=0.02)
    assert abs(got.sum() - 1) < 1e-12


def level(x, y=None):
    m = numpyro.sample("m", dist.Normal(2.0, 0.01))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(m + 0 * x, 0.3), obs=y)


def slope(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 2.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(w * x, 0.3), obs=y)


@pytest.fixture(scope="module")
def fits():
    how = {"y": Y, "x": X, "num_steps": 60, "progress_bar": False}
    one = fit(level, method=Modes(num_members=1, optim=0.1), **how)
    return {
        "level": one,
        "slope": fit(slope, method=Modes(num_members=3, optim=0.1), **how),
    }


def densities(found, y, x):
    """By SciPy, at the modes."""
    means = np.asarray(found.params[next(iter(found.params))], float)
    curves = means[:, None] + 0 * x if "m_auto_loc" in found.params else means[:, None] * x
    return stats.norm(curves, 0.3).logpdf(y)


def test_models_are_stacked_by_their_densities(fits):
    logs = np.stack([np.log(np.exp(densities(f, Y, X)).mean(0)) for f in fits.values()])
    right, _ = best(logs)
    got = stack(fits, y=Y, x=X, num_samples=6)
    np.testing.assert_allclose(got.weights, right, atol=1e-3)
    assert got.names == ("level", "slope")
    top = logs.max(0)
    mixed = top + np.log(right @ np.exp(logs - top))
    np.testing.assert_allclose(got.log_density(y=Y, x=X, num_samples=6), mixed, atol=1e-3)
    np.testing.assert_allclose(got.score, mixed.mean(), atol=1e-3)


def test_draws_come_in_the_shares_of_the_weights(fits):
    """At x = 60 the two models are far apart: the draws near 2 are those of the level."""
    together = stack(fits, y=Y, x=X, num_samples=6)
    drawn = together.predict(x=np.full(2, 60.0), num_samples=500).samples
    assert drawn.shape == (500, 2)
    share = (np.asarray(drawn)[:, 0] < 4.0).mean()
    assert abs(share - together.weights[0]) < 1 / 500 + 1e-6


def test_members_of_one_fit(fits):
    together = stack(fits["slope"], y=Y, x=X, num_samples=3)
    logs = densities(fits["slope"], Y, X)
    top = logs.max(0)
    mixed = top + np.log(together.weights @ np.exp(logs - top))
    np.testing.assert_allclose(
        together.log_density(y=Y, x=X, num_samples=3), mixed, atol=1e-3
    )
    assert together.names == (0, 1, 2)
    assert together.predict(x=X[:2], num_samples=7).samples.shape == (7, 2)


def test_errors(fits):
    with pytest.raises(ValueError, match="one fit with one"):
        stack(fits["level"], y=Y, x=X)
    with pytest.raises(TypeError, match="`results`"):
        stack([fits["level"], 3], y=Y, x=X)
    with pytest.raises(ValueError, match="`num_samples`"):
        stack(fits, y=Y, x=X, num_samples=0)
