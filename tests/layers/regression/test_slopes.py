"""Slopes of groups and effects that sum to zero: loops, laws of the draws, lme4's estimates."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, trace

from numpyro_bayeslayers.infer import MCMC, VI, fit
from numpyro_bayeslayers.layers import (
    FixedEffectsLayer,
    FixedPriorLayer,
    InterceptLayer,
    RandomSlopesLayer,
    gaussian_link,
)
from numpyro_bayeslayers.layers.regression._fixed_effects import zero_sum

from .draws import run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
GROUP = np.array([0, 2, 2, 1, 0])


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("units", [1, 2])
def test_each_row_has_the_slopes_of_its_group(correlated, units):
    layer = RandomSlopesLayer(correlated=correlated)
    out, v, sites = run(layer, X, GROUP, num_categories=4, units=units)
    expected = [
        [X[n] @ v["theta"][GROUP[n], :, u] for u in range(units)] for n in range(len(X))
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    assert sites["a.scale"].event_shape == (3, units)
    assert sites["a.theta_base"].event_shape == (4, 3, units)
    for u in range(units):
        root = v["cholesky"][u] if correlated else np.eye(3)
        for g in range(4):
            own = v["scale"][:, u] * (root @ v["theta_base"][g, :, u])
            np.testing.assert_allclose(v["theta"][g, :, u], own, rtol=1e-6)
        if correlated:
            np.testing.assert_allclose(v["correlation"][u], root @ root.T, rtol=1e-6)


def test_one_column_and_rows_in_other_shapes():
    out, v, _ = run(RandomSlopesLayer(correlated=True), X[:, 0], GROUP, num_categories=3)
    assert "cholesky" not in v
    np.testing.assert_allclose(out[:, 0], X[:, 0] * v["theta"][GROUP, 0, 0], rtol=1e-6)
    layer = RandomSlopesLayer(scale_dist=dist.LogNormal(0.0, 0.1))
    call = lambda *args: seed(layer, 0)("a", *args, 3)
    several = call(jnp.stack([X, 2 * X]), jnp.asarray(GROUP))
    np.testing.assert_allclose(several[0], call(X, GROUP), rtol=1e-6)
    np.testing.assert_allclose(several[1], 2 * several[0], rtol=1e-6)
    out, v, _ = run(RandomSlopesLayer(correlated=True), X[:, :0], GROUP, num_categories=3)
    assert "cholesky" not in v and not out.any()


def test_correlations_have_their_prior():
    """LKJ of 2 columns: (r + 1) / 2 ~ Beta(eta, eta); 4,000 draws, 5 standard errors (6e-7)."""
    layer = RandomSlopesLayer(correlated=True, concentration=3.0)

    def draw(key):
        sites = trace(seed(layer, key)).get_trace("a", X[:, :2], GROUP, 3)
        return sites["a.correlation"]["value"][0, 0, 1], sites["a.theta"]["value"]

    r, theta = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 4000))
    assert abs(r.mean()) < 5 * 0.378 / np.sqrt(4000)
    np.testing.assert_allclose(r.var(), 1 / 7, rtol=5 * np.sqrt(2 / 4000))
    assert theta.shape == (4000, 3, 2, 1)


@pytest.mark.slow
def test_new_groups_share_the_correlation():
    """Known scales and a correlation that the prior all but fixes: a new group has them too."""
    layer = RandomSlopesLayer(
        dist.LogNormal(np.log(np.float32(2.0)), 1e-3), correlated=True, concentration=1e6
    )

    def model(x, town, y=None):
        return gaussian_link(layer("town", x, town, 2), y, scale=0.5)

    x = np.stack([np.ones(8), np.arange(8.0)], 1)
    town = np.array(["bern", "oslo"] * 4)
    found = fit(model, y=x[:, 1], x=x, town=town, num_steps=200, progress_bar=False)
    new = {"x": np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), "town": ["rome"] * 3}
    draws = found.predict(**new, new_levels="draw", num_samples=4000).samples
    # Variances of 4,000 draws: 0.022, 5 of them. Both slopes are of one new group.
    np.testing.assert_allclose(draws.var(0), [4.25, 4.25, 8.25], rtol=0.12)
    mean = found.predict(**new, new_levels="mean", num_samples=500).samples
    np.testing.assert_allclose(mean.std(0), 0.5, rtol=0.2)
    summary = found.summary()
    assert any("bern" in str(line) for line in summary.index)


def test_effects_that_sum_to_zero():
    """Their covariance is that of normals given their sum: s² (I - 1/c)."""
    basis = np.asarray(zero_sum(np.eye(4)), float)
    np.testing.assert_allclose(basis @ basis.T, np.eye(5) - 0.2, atol=1e-6)
    squares = zero_sum(np.eye(4), is_squared=True)
    np.testing.assert_allclose(squares, basis**2, atol=1e-6)
    layer = FixedEffectsLayer(dist.Normal(0.0, 3.0), contrast="sum")
    out, v, _ = run(layer, GROUP, num_categories=4, units=2)
    assert v["beta"].shape == (4, 2) and v["beta_base"].shape == (3, 2)
    np.testing.assert_allclose(v["beta"].sum(0), 0, atol=1e-5)
    np.testing.assert_allclose(out, v["beta"][GROUP], rtol=1e-6)
    base = v["beta_base"]
    right = np.asarray(zero_sum(np.eye(3))) @ base
    np.testing.assert_allclose(v["beta"], right, rtol=1e-5, atol=1e-6)
    plain, v, _ = run(FixedEffectsLayer(), GROUP, num_categories=4)
    np.testing.assert_allclose(plain, v["beta"][GROUP], rtol=1e-6)


def test_many_effects_that_sum_to_zero():
    """No matrix of categories by categories, which would take 40 GB."""
    count = 100_000
    layer = FixedEffectsLayer(contrast="sum")
    _, v, _ = run(layer, GROUP, num_categories=count)
    assert v["beta"].shape == (count, 1)
    # The rounding of 1e5 sums in single precision.
    assert abs(v["beta"].mean()) < 1e-4


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: RandomSlopesLayer(correlated="yes"), TypeError, "`correlated` must be"),
        (lambda: RandomSlopesLayer(concentration=0), ValueError, "`concentration` must be"),
        (
            lambda: RandomSlopesLayer(coef_dist=dist.Laplace, correlated=True),
            ValueError,
            "must be Normal for correlated slopes, got Laplace",
        ),
        (
            lambda: RandomSlopesLayer(centered=True, correlated=True),
            ValueError,
            "`centered` must be False for correlated slopes",
        ),
        (
            lambda: RandomSlopesLayer()("a", X, GROUP[:3], 3),
            ValueError,
            "`group` must have one entry for each row",
        ),
        (
            lambda: RandomSlopesLayer()("a", X, GROUP, 2),
            ValueError,
            r"`group` must hold categories from 0 to 1 .*got \[2\]",
        ),
        (lambda: RandomSlopesLayer()("a", GROUP, X, 3), TypeError, "`group` must hold"),
        (lambda: FixedEffectsLayer(contrast="mean"), ValueError, "`contrast` must be None"),
        (
            lambda: FixedEffectsLayer(dist.Normal(1.0, 1.0), contrast="sum"),
            ValueError,
            "Normal of location zero",
        ),
        (
            lambda: FixedEffectsLayer(contrast="sum")("a", np.zeros(3, int), 1),
            ValueError,
            "`num_categories` must be at least 2",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call()


SLEEP = pathlib.Path(__file__).parent / "sleepstudy.csv"


@pytest.mark.slow
@pytest.mark.parametrize("method", [MCMC(num_chains=2), VI(guide="full_rank")])
def test_sleepstudy(method):
    """Reaction times by days without sleep, with an intercept and a slope for each subject.

    lme4's maximum of the restricted likelihood: intercept 251.405 (standard error 6.8), slope
    10.467 (1.5), deviations 24.741 and 5.922, correlation 0.066, residual 25.592. A posterior
    mean of a deviation lies above its mode by a good part of its own deviation (here 6 and
    1.3), so within one of them; the residual within 5%.
    """
    table = np.genfromtxt(SLEEP, delimiter=",", names=True)
    days = table["Days"]
    subject = np.array([f"no. {number:.0f}" for number in table["Subject"]])
    x = np.stack([np.ones_like(days), days], 1)

    def model(x, subject, y=None):
        mean = InterceptLayer(dist.Normal(2.5, 1.0))("base")
        mean = mean + FixedPriorLayer()("days", x[:, 1:])
        own = RandomSlopesLayer(correlated=True)("subject", x, subject, 18)
        return gaussian_link(mean + own, y)

    options = {} if isinstance(method, MCMC) else {"num_steps": 15_000}
    found = fit(
        model,
        y=table["Reaction"] / 100,
        x=x,
        subject=subject,
        method=method,
        progress_bar=False,
        **options,
    )
    mean = {n: 100 * np.mean(d, axis=(0, 1)).ravel() for n, d in found.draws().items()}
    np.testing.assert_allclose(mean["base.beta"], 251.4, atol=7)
    np.testing.assert_allclose(mean["days.beta"], 10.47, atol=1.5)
    off = (mean["subject.scale"] - np.array([24.74, 5.92])) / np.array([6.5, 1.5])
    assert np.abs(off).max() < 1, mean["subject.scale"]
    np.testing.assert_allclose(mean["obs.sigma"], 25.59, rtol=0.05)
    assert abs(mean["subject.correlation"][1] / 100 - 0.07) < 0.3
