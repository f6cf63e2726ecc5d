"""Starts of autoguides are those of NumPyro, to the last bit, in shorter programs."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed
from numpyro.infer import (
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer.training._first_values import first_values
from numpyro_bayeslayers.infer.training._guides import fresh


def model(x):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    numpyro.sample("kind", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
    with numpyro.plate("groups", 3):
        scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
    top = numpyro.sample("top", dist.Uniform(-1.0, 2.0))
    numpyro.sample("y", dist.Normal(x @ slope + top, scale[0]), obs=x[:, 0])


X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
STARTS = {
    "median": init_to_median,
    "median of 4": functools.partial(init_to_median, num_samples=4),
    "median of 7": init_to_median(num_samples=7),
    "mean": init_to_mean,
    "sample": init_to_sample,
    "uniform": init_to_uniform(radius=0.5),
    "value": init_to_value(values={"slope": np.ones(2), "scale": np.ones(3), "top": 0.5}),
}


def found(guide, key):
    twin = fresh(guide)
    seed(twin, key)(X)
    assert twin.init_loc_fn is guide.init_loc_fn
    return twin._init_locs


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_the_values_are_those_of_numpyro(start, monkeypatch):
    """From the same key: medians of odd and even numbers of draws, means, draws, any other."""
    guide = AutoNormal(numpyro.handlers.block(model, hide=["kind"]), init_loc_fn=start)
    ours = found(guide, jax.random.key(1))
    monkeypatch.setattr(
        "numpyro_bayeslayers.infer.training._guides.first_values", lambda start: start
    )
    stock = found(guide, jax.random.key(1))
    assert list(ours) == list(stock) and len(ours) == 3
    jax.tree.map(np.testing.assert_array_equal, ours, stock)


def test_the_median_of_draws_that_are_not_a_number_is_none():
    site = {
        "type": "sample",
        "name": "a",
        "is_observed": False,
        "value": None,
        "fn": dist.Normal(jnp.array([0.0, jnp.nan]), 1.0, validate_args=False),
        "kwargs": {"rng_key": jax.random.key(0), "sample_shape": ()},
    }
    start = first_values(init_to_median)
    start(site)  # the first value is any
    value = start(site)
    np.testing.assert_array_equal(value, init_to_median(site))
    assert np.isnan(value).tolist() == [False, True]


def test_a_start_is_shorter(monkeypatch):
    """Sorts and loops of random numbers, which take the compiler longest: about half of them."""
    guide = AutoNormal(
        numpyro.handlers.block(model, hide=["kind"]), init_loc_fn=init_to_median
    )

    def parts():
        text = jax.jit(lambda key: found(guide, key)).lower(jax.random.key(0)).as_text()
        return len(re.findall("call @(median|_normal|_uniform|sort|threefry2x32)", text))

    ours = parts()
    monkeypatch.setattr(
        "numpyro_bayeslayers.infer.training._guides.first_values", lambda start: start
    )
    assert ours <= 0.75 * parts()
