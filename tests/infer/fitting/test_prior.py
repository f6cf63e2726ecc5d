"""What a model would observe before it has seen data, against the closed form."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import Predictions, prior
from numpyro_bayeslayers.layers import (
    RandomEffectsLayer,
    categorical_link,
    gaussian_link,
    poisson_link,
)

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.linspace(-1.0, 3.0, 5)


def line(x, y=None, noise=0.5):
    w = numpyro.sample("w", dist.Normal(1.0, 2.0))
    numpyro.deterministic("f", w * x)
    return gaussian_link(w * x, y, scale=noise)


def test_against_the_closed_form():
    """y is N(x, (2 x)² + 0.25); 5 standard errors of 4,000 draws."""
    found = prior(line, x=X, num_samples=4000)
    assert type(found) is Predictions and found.reach is None
    std = np.sqrt(4 * X**2 + 0.25)
    np.testing.assert_array_less(abs(found.mean - X), 5 * std / 4000**0.5)
    np.testing.assert_array_less(abs(found.std / std - 1), 5 / 8000**0.5)
    again = prior(line, x=X, num_samples=4000)
    np.testing.assert_array_equal(again.samples, found.samples)
    assert np.any(prior(line, x=X, num_samples=4000, seed=1).samples != found.samples)
    # All rows of a draw have one slope, in blocks too.
    for size in (None, 2):
        f = np.asarray(prior(line, x=X, site="f", num_samples=9, batch_size=size).samples)
        np.testing.assert_allclose(f, f[:, :1] / X[0] * X, atol=1e-5)


def test_a_second_call_compiles_nothing(compiled):
    prior(line, x=X, num_samples=7)
    compiled.clear()
    prior(line, x=X + 1, num_samples=7, seed=3)
    assert not compiled


def test_whether_the_data_are_reached():
    near = prior(line, x=X, y=2 * X, num_samples=2)
    assert near.reach.beyond == 0.0 and near.reach.advice == ""
    far = prior(line, x=X, y=np.append(2 * X[:4], 1e5), num_samples=2)
    assert far.reach.beyond == pytest.approx(0.2)
    assert far.reach.advice.startswith("The prior puts next to no mass near")
    np.testing.assert_array_equal(near.samples, far.samples)
    # What is missing is not compared.
    y = np.append(2 * X[:3], [np.nan, 1e5])
    assert prior(line, x=X, y=y, num_samples=2).reach.beyond == pytest.approx(0.25)
    with pytest.raises(ValueError, match="`y` must be in the support of Poisson"):
        prior(lambda x, y=None: poisson_link(x, y), x=X, y=-X)


def test_labels_and_words():
    def classes(x, town, y=None):
        effect = RandomEffectsLayer()("town", town, 2)
        return categorical_link(jnp.stack([0 * x, effect[:, 0]], 1), y)

    town = ["oslo", "rome", "oslo", "rome", "rome"]
    found = prior(classes, x=X, town=town, num_samples=2000)
    # Effects are symmetric about zero: 5 standard errors of shares whose deviation is below 1/2.
    np.testing.assert_allclose(found.probabilities, 0.5, atol=2.5 / 2000**0.5)
    assert found.classes == (0, 1)
    words = prior(classes, x=X, town=town, y=["no", "yes", "no", "no", "yes"])
    assert words.classes == ("no", "yes") and words.reach is None
    assert set(words.mode) <= {"no", "yes"}


def test_rows_without_y():
    def bent(knots, x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1))
        return gaussian_link(w * jnp.maximum(x - knots[0], 0), y, scale=1.0)

    with pytest.raises(ValueError, match=r"`knots` has 2, `x` has 5.* in `constants`"):
        prior(bent, knots=[0.0, 1.0], x=X)
    found = prior(bent, constants={"knots": np.zeros(2)}, x=X, num_samples=3)
    assert found.mean.shape == (5,)
    with pytest.raises(ValueError, match="`y`, or an argument of the model that has rows"):
        prior(line, x=1.0)


def test_what_cannot_be_drawn():
    def improper(x, y=None):
        level = numpyro.sample("level", dist.ImproperUniform(dist.constraints.real, (), ()))
        gaussian_link(level + x, y)

    with pytest.raises(ValueError, match="'level' has none: it is improper"):
        prior(improper, x=X)
    with pytest.raises(ValueError, match=r"`site` .*'ff'. Did you mean 'f'\?"):
        prior(line, x=X, site="ff")
    with pytest.raises(ValueError, match="`model` must take the observations as `y`"):
        prior(lambda x: x, x=X)
