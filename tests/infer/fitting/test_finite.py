"""Members that are not finite: named and left out of all that is drawn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import Ensemble, Stein, fit
from numpyro_bayeslayers.infer.training._finite import Finite, lowest

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.array([1.0, 2.0, 3.0])
Y = np.zeros(3)
NAMES = pytest.mark.filterwarnings("ignore:Not finite")


def model(x, limit, y=None):
    """The gradient is NaN for slopes above the limit."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.factor("broken", jnp.where(slope > limit, jnp.nan, 0.0) * slope)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(slope * x, 1e-3), obs=y)


def guide(x, limit, y=None):
    """A point that starts at a draw."""
    start = numpyro.param("start", lambda key: jax.random.normal(key))
    numpyro.sample("slope", dist.Delta(start))


@functools.cache
def fitted(limit, seed=0):
    """Eight members that stay where they start, those above the limit as NaN."""
    way = Ensemble(num_members=8, guide=guide, optim=1e-9)
    return fit(
        model, y=Y, x=X, limit=limit, method=way, num_steps=2, progress_bar=False, seed=seed
    )


@NAMES
def test_members_that_are_not_finite_are_left_out():
    """The others are as in a fit without a limit."""
    sound = fitted(100.0)
    starts = np.asarray(sound.params["start"])
    limit = float(np.sort(starts)[[-3, -2]].mean())
    broken = fitted(limit)
    bad = np.flatnonzero(starts > limit)
    assert np.isnan(broken.params["start"]).nonzero()[0].tolist() == bad.tolist()
    said = rf"non-finite numbers: members {bad[0]} and {bad[1]} of 8\."
    good = np.delete(starts, bad)

    with pytest.warns(UserWarning, match=said) as told:
        found = broken.predict(x=X, num_samples=12)
    assert len(told) == 1
    assert found.samples.shape == (12, 3), "two for each of six"
    # The noise of 12 draws' mean is 3e-4: 10 standard errors.
    np.testing.assert_allclose(found.mean, good.mean() * X, atol=3e-3)

    with pytest.warns(UserWarning, match=said) as told:
        draws = broken.draws(num_samples=4)["slope"]
    assert len(told) == 1
    np.testing.assert_allclose(draws, np.tile(good[:, None], 4), rtol=1e-5)
    with pytest.warns(UserWarning, match=said) as told:
        table = broken.summary(num_samples=4)
    assert len(told) == 1
    np.testing.assert_allclose(table.loc["slope", "mean"], good.mean(), rtol=1e-4)
    with pytest.warns(UserWarning, match=said) as told:
        points = broken.to_arviz(num_samples=7).posterior["slope"]
    assert len(told) == 1
    np.testing.assert_allclose(
        points, good[None], rtol=1e-5
    )  # points are draws of one chain


@NAMES
def test_error_if_no_member_is_left():
    found = fitted(-100.0)
    assert np.isnan(found.losses).all()
    for ask in (lambda: found.predict(x=X), found.draws, found.summary, found.to_arviz):
        with pytest.raises(
            ValueError, match=r"None of the 8 members is finite.*smaller step"
        ):
            ask()


@NAMES
def test_particles_that_are_not_finite():
    """They touch each other by their forces: all are NaN after steps that overflow."""
    way = Stein(num_particles=3, optim=1e30)
    found = fit(model, y=Y, x=X, limit=1e6, method=way, num_steps=5, progress_bar=False)
    with pytest.raises(ValueError, match="None of the 3 particles is finite"):
        found.predict(x=X)


def test_words_and_choices():
    finite = Finite(np.array([True, False, True, False]), "chain")
    assert finite.named() == "chains 1 and 3 of 4" and finite.count == 2
    assert Finite(np.arange(3) != 2).named() == "member 2 of 3"
    many = Finite(np.arange(100) < 50).named()
    assert many.endswith("59, 60 and others of 100")
    np.testing.assert_array_equal(finite.take({"a": jnp.arange(4)})["a"], [0, 2])
    losses = np.array([[0.0, 3.0], [0.0, 1.0], [0.0, -np.inf], [0.0, np.nan]])
    assert lowest(losses, Finite(np.ones(4, bool))) == 1
    assert lowest(losses, finite) == 0
    assert lowest(losses[2:], Finite(np.array([False, True]))) == 1
    values = {"a": jnp.array([[0.0, jnp.inf], [1.0, 1.0]]), "n": jnp.array([1, 2])}
    np.testing.assert_array_equal(Finite.of(values, 2).which, [False, True])
