"""Fits that start where another one has ended, by every method."""

import functools

import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import NUTS

from numpyro_bayeslayers.infer import MCMC, VI, Ensemble, Stein, fit

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.linspace(-1, 1, 20)
Y = 2 * X
quiet = functools.partial(fit, progress_bar=False)


def model(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(slope * x, noise), obs=y)


def other(x, y=None):
    numpyro.sample("level", dist.Normal(0.0, 1.0))
    model(x, y)


@pytest.fixture(scope="module")
def points():
    """Three members, which are points."""
    method = Ensemble(guide="delta", num_members=3, optim=0.02)
    return quiet(model, y=Y, x=X, method=method, num_steps=40)


STAY = {"optim": optax.sgd(0.0)}


def density(slope, noise):
    at = {"slope": slope, "noise": noise}
    return numpyro.infer.util.log_density(model, (X, Y), {}, at)[0]


def test_the_first_loss_is_that_of_where_the_other_ended(points):
    method = Ensemble(guide="delta", num_members=3, **STAY)
    then = quiet(model, y=Y, x=X, method=method, num_steps=1, init=points)
    slopes, noises = (points.params[f"{n}_auto_loc"] for n in ("slope", "noise"))
    expected = [-density(s, n) for s, n in zip(slopes, noises, strict=True)]
    np.testing.assert_allclose(then.losses[:, 0], expected, rtol=1e-5)
    on = quiet(model, y=Y, x=X, method=points.method, num_steps=40, init=points)
    assert (on.losses[:, -1] < points.losses[:, -1]).all()


def test_the_state_goes_on(points):
    method = VI(guide="delta", optim=optax.adam(0.1))
    call = functools.partial(quiet, model, y=Y, x=X, method=method, batch_size=6)
    first = call(num_steps=5)
    then = call(num_steps=4, init=first.result.state, seed=9)
    np.testing.assert_array_equal(then.losses, call(num_steps=9).losses[:, 5:])


@pytest.mark.parametrize(
    "method",
    [VI(**STAY), Ensemble(num_members=2, **STAY), Stein(num_particles=4, **STAY)],
    ids=["vi", "ensemble", "stein"],
)
def test_another_guide_starts_at_draws(points, method):
    """Each start is a point of the other fit, which there are three of."""
    then = quiet(model, y=Y, x=X, method=method, num_steps=1, init=points)
    found = np.asarray(then.params["slope_auto_loc"])
    slopes = np.asarray(points.params["slope_auto_loc"])
    assert all(np.isclose(slopes, x, rtol=1e-5).any() for x in found)
    assert len(set(found.round(6))) == min(len(found), 3)


@pytest.mark.slow
def test_chains_start_there(points):
    """Steps of size zero: all draws are the start."""
    kernel = functools.partial(NUTS, step_size=1e-12, adapt_step_size=False)
    method = MCMC(num_warmup=0, num_samples=2, num_chains=3, kernel=kernel)
    found = quiet(model, y=Y, x=X, method=method, init=points).draws()
    for name in ("slope", "noise"):
        at = np.asarray(points.params[f"{name}_auto_loc"])
        np.testing.assert_allclose(found[name][:, 0], at, rtol=1e-4)
    at = {"slope": [1.0, 2.0, 3.0], "noise": 0.5}
    found = quiet(model, y=Y, x=X, method=method, init=at).draws()
    np.testing.assert_allclose(found["slope"][:, 1], at["slope"], rtol=1e-4)
    np.testing.assert_allclose(found["noise"][:, 1], [0.5] * 3, rtol=1e-4)
    with pytest.raises(ValueError, match=r"all latent sites for chains, .*\['noise'\]"):
        quiet(model, y=Y, x=X, method=method, init={"slope": 1.0})
    then = quiet(model, y=Y, x=X, method=VI(**STAY), num_steps=1, init=found_of(at))
    assert then.params["slope_auto_loc"].shape == (1,)


def found_of(at):
    method = MCMC(num_warmup=20, num_samples=20, num_chains=2)
    return quiet(
        model, y=Y, x=X, method=method, init={n: np.ravel(x)[0] for n, x in at.items()}
    )


def test_particles_start_at_values_and_at_particles():
    method = Stein(num_particles=3, **STAY)
    at = {"slope": [1.0, 2.0, 3.0], "noise": 0.5}
    first = quiet(model, y=Y, x=X, method=method, num_steps=1, init=at)
    np.testing.assert_allclose(first.params["slope_auto_loc"], at["slope"], rtol=1e-5)
    np.testing.assert_allclose(first.params["noise_auto_loc"], [0.5] * 3, rtol=1e-5)
    seen = []
    then = quiet(
        model, y=Y, x=X, method=method, num_steps=30, init=first, callbacks=seen.append
    )
    np.testing.assert_allclose(then.params["noise_auto_loc"], [0.5] * 3, rtol=1e-5)
    assert len(seen) == 30 and seen[0].losses.shape == (1, 1)
    with pytest.raises(ValueError, match=r"`init` must be one of .*got 'level'"):
        quiet(model, y=Y, x=X, method=method, num_steps=1, init={"level": 1.0})


def test_fits_of_other_sites_are_refused(points):
    with pytest.raises(ValueError, match=r"same sites: it has no site 'level'"):
        quiet(other, y=Y, x=X, num_steps=1, init=points)
    foreign = quiet(other, y=Y, x=X, num_steps=1)
    with pytest.raises(ValueError, match=r"`init` must be one of .*got 'level'"):
        quiet(model, y=Y, x=X, num_steps=1, init=foreign)


def test_a_state_whose_steps_are_zero_does_not_go_on():
    """The default step size falls to zero over a run: another run would change nothing."""
    first = fit(model, y=Y, x=X, num_steps=20, progress_bar=False)
    with pytest.raises(
        ValueError, match=r"`init` is at the end of its step size schedule.*`init=found`"
    ):
        fit(model, y=Y, x=X, num_steps=20, init=first.result.state, progress_bar=False)
