"""`Stein`: what is kept between fits, and what a run of particles may be asked for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.einstein import MixtureKernel, RandomFeatureKernel, RBFKernel
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import Checkpoint, EarlyStopping, Stein, fit, load
from numpyro_bayeslayers.infer.fitting._programs import PROGRAMS
from numpyro_bayeslayers.infer.training._validation import share_of_rows

pytestmark = pytest.mark.usefixtures("as_users_run")

ROWS, NOISE = 12, 0.5
X = np.linspace(-1, 1, ROWS)
Y = 1.5 * X + 0.3 * np.cos(7 * X)
POINTS = Stein(num_particles=3)


def made():
    """A model made anew in each call, as in a loop or in a cell that is run again."""

    def model(x, y=None):
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(x)):
            return numpyro.sample("y", dist.Normal(slope * x, NOISE), obs=y)

    return model


quiet = functools.partial(fit, progress_bar=False)
short = functools.partial(quiet, num_steps=5, method=POINTS)


def answers(found):
    return found.losses, found.params, found.predict(x=X[:3], num_samples=6).samples


WAYS = {
    "points": {},
    "minibatches": {"batch_size": 4},
    "mixture": {"method": Stein(num_particles=2, guide=AutoNormal, num_elbo_particles=2)},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_kind_seen_before_compiles_nothing(way, compiled):
    """The second fit is of other data, from another seed, of a model that was made anew."""
    PROGRAMS.clear()
    one = short(made(), y=2 * X, x=X, **way)
    first = answers(one)
    before = len(compiled)
    second = answers(short(made(), y=1 - X, x=X + 1, seed=3, **way))
    assert len(compiled) == before and len(PROGRAMS) == 1
    assert np.any(second[1]["slope_auto_loc"] != first[1]["slope_auto_loc"])
    equal(answers(one), first)

    PROGRAMS.clear()  # what is kept changes no number
    equal(answers(short(made(), y=1 - X, x=X + 1, seed=3, **way)), second)


def equal(one, other):
    for a, b in zip(one[::2], other[::2], strict=True):
        np.testing.assert_array_equal(a, b)
    for name, value in one[1].items():
        np.testing.assert_array_equal(value, other[1][name])


def test_a_first_fit_compiles_few_programs(compiled):
    """The steps alone: NumPy takes starts and predictions that are small."""
    PROGRAMS.clear()
    answers(
        short(made(), y=2 * X, x=X)
    )  # small programs that are compiled once in a process
    PROGRAMS.clear()
    before = len(compiled)
    found = short(made(), y=2 * X, x=X)
    assert len(compiled) - before <= 1
    found.predict(x=X[:3], num_samples=6)
    assert len(compiled) - before <= 1


def bounded(x, y=None):
    z = numpyro.sample("z", dist.Uniform(x.min(), x.max()))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(z, NOISE), obs=y)


@pytest.mark.slow
def test_bounds_of_the_data_are_those_of_each_fit():
    """Of the same shapes, one after the other."""
    for shift in (0.0, 10.0):
        found = short(bounded, y=Y + shift, x=X + shift, num_steps=2)
        z = np.asarray(found.params["z_auto_loc"])
        assert np.all(np.abs(z - shift) < 1)


def own_bounds(x, y=None):
    u = numpyro.sample("u", dist.Uniform(jnp.full(2, 3.0), 4.0).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x * u.sum(), NOISE), obs=y)


def test_bounds_that_a_model_computes_are_kept(compiled):
    first = short(own_bounds, y=Y, x=X)
    before = len(compiled)
    second = short(own_bounds, y=Y + 1, x=X, seed=2)
    assert len(compiled) == before
    for found in (first, second):
        u = np.asarray(found.params["u_auto_loc"])
        assert np.all((u > 3) & (u < 4))


@pytest.mark.slow
def test_kernels_that_draw_do_so_in_each_fit():
    """Another seed gives other random features, and so another path from the same start."""
    kernel = MixtureKernel([0.5, 0.5], [RBFKernel(), RandomFeatureKernel()])
    method = Stein(num_particles=3, kernel=kernel)
    at = {"slope": np.array([-1.0, 0.0, 1.0])}
    runs = [
        short(made(), y=Y, x=X, method=method, init=at, seed=seed) for seed in (0, 0, 1)
    ]
    slopes = [np.asarray(found.params["slope_auto_loc"]) for found in runs]
    np.testing.assert_array_equal(slopes[0], slopes[1])
    assert np.all(slopes[0] != slopes[2])


def score(slopes, x, y):
    """The mean over rows of the log mean density over particles."""
    each = -0.5 * ((y - np.outer(slopes, x)) / NOISE) ** 2 - np.log(NOISE * 2.50662827)
    return np.log(np.exp(each).mean(0)).mean()


def test_the_score_is_that_of_the_mixture(tmp_path):
    new = {"x": X[:4] + 0.1, "y": Y[:4]}
    found = short(made(), y=Y, x=X, validation=new)
    slopes = np.asarray(found.params["slope_auto_loc"], float)
    last = found.validation.log_density
    assert last.shape == (1, len(found.validation.steps))
    np.testing.assert_allclose(last[0, -1], score(slopes, **new), rtol=1e-5)
    np.testing.assert_allclose(last[0, -1], found.log_density(**new).mean(), rtol=1e-5)
    found.save(tmp_path / "f")
    np.testing.assert_array_equal(load(tmp_path / "f", made()).validation.log_density, last)


def test_held_out_rows_are_not_fitted():
    """The fit is that of the other rows, to the last bit."""
    held = short(made(), y=Y, x=X, validation=0.25, seed=1)
    is_fitted = ~share_of_rows(0.25, ROWS, jax.random.key(1))
    rest = short(made(), y=Y[is_fitted], x=X[is_fitted], seed=1)
    np.testing.assert_array_equal(held.losses, rest.losses)
    with pytest.raises(ValueError, match="A fraction of the rows cannot be held out"):
        short(lagged, y=Y, x=X, validation=0.25)


def lagged(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(slope * (x - x.mean()), NOISE), obs=y)


def test_a_checkpoint_goes_on_to_the_same_numbers(tmp_path):
    call = functools.partial(quiet, made(), x=X, num_steps=12, method=POINTS, batch_size=5)
    path = Checkpoint(tmp_path / "f", every=3)
    plain = call(y=Y)
    ended = call(y=Y, checkpoint=path, callbacks=lambda p: p.step >= 7)
    assert ended.losses.shape == (1, 7)
    whole = call(y=Y, checkpoint=path)
    np.testing.assert_array_equal(whole.losses, plain.losses)
    np.testing.assert_array_equal(
        whole.params["slope_auto_loc"], plain.params["slope_auto_loc"]
    )
    with pytest.raises(ValueError, match="belongs to another run"):
        call(y=Y, seed=1, checkpoint=path)
    with pytest.raises(ValueError, match=r"other values in `y`"):
        call(y=Y + 1, checkpoint=path)


def test_forces_are_no_losses():
    with pytest.raises(ValueError, match="must be on the validation with Stein"):
        short(made(), y=Y, x=X, early_stopping=EarlyStopping(patience=2))
