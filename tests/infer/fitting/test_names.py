"""Names that are no options and no arguments of the model."""

import functools

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import fit


def model(x, y=None, *, scale=1.0):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(slope * x, scale), obs=y)


def open_model(y=None, **rows):
    model(rows["x"], y)


X = np.linspace(-1, 1, 6)


@pytest.mark.parametrize("form", [lambda m: m, numpyro.handlers.block, functools.partial])
def test_a_name_that_is_none_is_refused_with_the_nearest(form):
    with pytest.raises(
        ValueError, match=r"`num_step` is no option .*Did you mean `num_steps`"
    ):
        fit(form(model), y=X, x=X, num_step=3)
    with pytest.raises(ValueError, match=r"takes `x`, `y`, `scale`\. Did you mean `scale`"):
        fit(form(model), y=X, x=X, constants={"scael": 2.0}, num_steps=3)


def test_models_that_take_any_name():
    found = fit(open_model, y=X, x=X, num_steps=1, progress_bar=False)
    assert found.losses.shape == (1, 1)
