"""Members that are not finite are left out of predictions, with a word."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_bayeslayers.estimators._observation import OBSERVATION_MODELS
from tests.quick import mostly_slow

from .tables import table


def broken(field, members):
    """The same estimator, whose `members` are NaN."""
    twin = copy.copy(field)
    which = np.isin(np.arange(2), members)
    first = next(iter(field.params_))
    spoil = lambda name, x: x.at[which].set(jnp.nan) if name == first else x
    twin.params_ = {name: spoil(name, x) for name, x in field.params_.items()}
    return twin


@pytest.mark.parametrize("name", mostly_slow(OBSERVATION_MODELS, {"NORMAL"}))
def test_predictions_are_those_of_the_others(fitted, name):
    df = table()[:5]
    sound, one = fitted[name], broken(fitted[name], [0])
    with pytest.warns(UserWarning, match="non-finite numbers: member 0 of 2") as told:
        mean, (median,) = one.predict(df)
    assert len(told) == 1
    with pytest.warns(UserWarning, match="non-finite numbers: member 0 of 2"):
        left = one.likelihood_model(df)
    members = sound.likelihood_model(df)
    kept = jax.tree.map(lambda x: x[len(x) // 2 :], members.mean)
    np.testing.assert_allclose(left.mean, kept, rtol=1e-5)
    np.testing.assert_allclose(mean, kept.mean(0), rtol=1e-5)
    assert np.isfinite(median).all()


def test_error_if_none_is_left(normal):
    for ask in (broken(normal, [0, 1]).predict, broken(normal, [0, 1]).likelihood_model):
        with pytest.raises(ValueError, match="None of the 2 members is finite"):
            ask(table()[:5])
