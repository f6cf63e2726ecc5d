"""Trends and seasons: their covariances by the recursions of their states, sums, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute

from numpyro_bayeslayers.infer import VI, fit
from numpyro_bayeslayers.layers import LocalTrendLayer, SeasonalStateLayer, gaussian_link

from .draws import run

TIMES = 11


def covariance_of_states(step, noise, start):
    """Of the first entry of x_t = step x_(t-1) + noise, from cov(x_s, x_t) = P_s step'^(t-s)."""
    now, rows = start, []
    out = np.zeros((TIMES, TIMES))
    for s in range(TIMES):
        rows.append(now)
        across = now
        for t in range(s, TIMES):
            out[s, t] = out[t, s] = across[0, 0]
            across = across @ step.T
        now = step @ now @ step.T + noise
    return out


def covariance(layer, known, bases):
    """Effects are linear in the bases: their Jacobian has the whole covariance."""
    names = list(bases)

    def effects(*values):
        data = {f"a.{n}": v[:, None] for n, v in zip(names, values, strict=True)}
        data |= {f"a.{n}": jnp.array([v]) for n, v in known.items()}
        return seed(substitute(layer, data=data), 0)("a", np.arange(TIMES), TIMES)[:, 0]

    at = [np.zeros(size) for size in bases.values()]
    with jax.enable_x64(True):
        roots = jax.jit(jax.jacobian(effects, tuple(range(len(names)))))(*at)
    return sum(np.asarray(r) @ np.asarray(r).T for r in roots)


def test_the_trend_is_that_of_its_state():
    known = {"scale": 0.7, "slope_scale": 0.2, "slope_start": 0.0}
    sizes = {"level_base": TIMES - 1, "slope_base": TIMES - 1}
    found = covariance(LocalTrendLayer(), known, sizes)
    step, noise = np.array([[1.0, 1.0], [0.0, 1.0]]), np.diag([0.7, 0.2]) ** 2
    expected = covariance_of_states(step, noise, np.zeros((2, 2)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_level_follows_the_slope():
    """Without noise of its own, the level's steps are the slopes."""
    t = np.array([10, 0, 3, 3])
    layer = LocalTrendLayer(dist.LogNormal(-30.0, 0.1))
    out, v, sites = run(layer, t, num_times=TIMES, units=2)
    names = ["scale", "slope_scale", "slope_start", "level_base", "slope_base"]
    assert list(sites) == [f"a.{n}" for n in [*names, "level", "slope"]]
    np.testing.assert_allclose(np.diff(v["level"], axis=0), v["slope"][:-1], atol=1e-6)
    np.testing.assert_allclose(v["slope"][0], v["slope_start"], rtol=1e-6)
    np.testing.assert_allclose(v["level"][0], 0.0, atol=1e-9)
    np.testing.assert_allclose(out, v["level"][t], rtol=1e-9)


@pytest.mark.parametrize("period", [2, 4])
def test_the_season_is_that_of_its_state(period):
    layer = SeasonalStateLayer(period, start_dist=dist.Normal(0.0, 1.0))
    sizes = {"start_base": period - 1, "theta_base": TIMES - period + 1}
    found = covariance(layer, {"scale": 0.5}, sizes)
    # The state at the time p - 2: the p - 1 effects before the first that has noise.
    step = np.eye(period - 1, k=-1)
    step[0] = -1.0
    noise = np.zeros_like(step)
    noise[0, 0] = 0.25
    pattern = np.eye(period) - 1 / period
    start = pattern[: period - 1, : period - 1]
    expected = covariance_of_states(step, noise, start)[: TIMES - period + 2]
    late = slice(period - 2, None)
    np.testing.assert_allclose(
        found[late, late], expected[:, : TIMES - period + 2], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(found[:period, :period][:-1, :-1], start, atol=1e-6)
    # Any p in a row sum to their noise: independent, of the same deviation.
    sums = np.array(
        [np.eye(TIMES)[i : i + period].sum(0) for i in range(TIMES - period + 1)]
    )
    np.testing.assert_allclose(
        sums @ found @ sums.T, 0.25 * np.eye(len(sums)), rtol=1e-5, atol=1e-6
    )


def test_a_season_without_noise_repeats_itself():
    t = np.array([0, 3, 9])
    layer = SeasonalStateLayer(
        3, dist.LogNormal(-30.0, 0.1), start_dist=dist.Normal(0.0, 2.0)
    )
    out, v, sites = run(layer, t, num_times=TIMES, units=2)
    names = ["scale", "start_base", "start", "theta_base", "theta"]
    assert list(sites) == [f"a.{n}" for n in names]
    np.testing.assert_allclose(v["theta"], np.tile(v["start"], (4, 1))[:TIMES], atol=1e-6)
    np.testing.assert_allclose(v["start"].sum(0), 0.0, atol=1e-6)
    np.testing.assert_allclose(out, v["theta"][t], rtol=1e-9)


@pytest.mark.slow
def test_a_forecast_is_the_normal_given_what_was_seen():
    """Trend and season of eight times seen, three to come: by the states' dense covariance.

    4,000 draws: 5 standard errors of the mean and 5 times 0.022 of the variance (6e-7); the
    guide of full rank is exact but for what optimization leaves, 0.1 here.
    """
    known = lambda scale: dist.LogNormal(np.log(scale), 0.02)
    trend, season = (
        LocalTrendLayer(known(0.5), known(0.2)),
        SeasonalStateLayer(3, known(0.3)),
    )
    y = np.array([0.3, 1.5, 0.2, 1.0, 2.6, 1.4, 2.2, 3.9])

    def model(t, y=None):
        mean = trend("trend", t, TIMES) + season("season", t, TIMES)
        return gaussian_link(mean, y, scale=0.3)

    level = covariance_of_states(
        np.array([[1.0, 1.0], [0.0, 1.0]]), np.diag([0.25, 0.04]), np.diag([0.0, 1.0])
    )
    bases = {"start_base": 2, "theta_base": TIMES - 2}
    all_times = level + covariance(season, {"scale": 0.3}, bases)
    seen, new = slice(0, 8), [8, 10]
    gain = np.linalg.solve(
        all_times[seen, seen] + 0.09 * np.eye(8), all_times[seen][:, new]
    ).T
    variance = np.diag(all_times[np.ix_(new, new)] - gain @ all_times[seen][:, new]) + 0.09
    way = {"method": VI(guide="full_rank"), "num_steps": 8000, "progress_bar": False}
    found = fit(model, y=y, t=np.arange(8), **way)
    draws = np.asarray(found.predict(t=np.array(new), num_samples=4000).samples)
    error = 5 * np.sqrt(variance / 4000) + 0.1
    assert (np.abs(draws.mean(0) - gain @ y) < error).all()
    np.testing.assert_allclose(draws.var(0), variance, rtol=0.15)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: LocalTrendLayer(slope_scale_dist=dist.Normal),
            ValueError,
            "`slope_scale_",
        ),
        (lambda: LocalTrendLayer(slope_kwargs={"rate": 1.0}), ValueError, "`slope_kwargs`"),
        (
            lambda: LocalTrendLayer()("a", [0, 5], 5),
            ValueError,
            r"`t` must hold .*got \[5\]",
        ),
        (
            lambda: LocalTrendLayer()("a", [0], 1),
            ValueError,
            "`num_times` must be at least 2",
        ),
        (lambda: SeasonalStateLayer(1), ValueError, "`period` must be at least 2"),
        (lambda: SeasonalStateLayer(2.5), TypeError, "`period` must be"),
        (
            lambda: SeasonalStateLayer(4, start_dist=dist.Laplace),
            ValueError,
            "`start_dist` must be Normal of location zero",
        ),
        (
            lambda: SeasonalStateLayer(4)("a", [0], 3),
            ValueError,
            "`num_times` must be at least 4, got 3: a period has 4",
        ),
        (lambda: SeasonalStateLayer(4)("a", [-1], 8), ValueError, r"`t` must .*got \[-1\]"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call()
