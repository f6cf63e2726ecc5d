"""Tied layers draw once; others refuse a second call."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

from numpyro_bayeslayers.handlers import temper, tie
from numpyro_bayeslayers.layers import DenseDVI, DenseReparameterization
from numpyro_bayeslayers.primitives import divergence, scope

X = jax.random.normal(jax.random.key(0), (5, 3))
LAYER = DenseReparameterization(3, 3, name="a")


def shared_model(x):
    with tie(LAYER) as shared:
        return shared(jnp.tanh(shared(x)))


def test_works_inside_a_scope():
    sites = trace(seed(scope(shared_model, prefix="outer"), 0)).get_trace(X)
    assert list(sites) == ["outer.a.weight", "outer.a.bias"]
    w, b = (site["value"] for site in sites.values())
    expected = jnp.tanh(X @ w + b) @ w + b
    found = seed(scope(shared_model, prefix="outer"), 0)(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_draws_once_and_reuses():
    sites = trace(seed(shared_model, 0)).get_trace(X)
    assert list(sites) == ["a.weight", "a.bias"]
    w, b = (site["value"] for site in sites.values())
    expected = jnp.tanh(X @ w + b) @ w + b
    np.testing.assert_allclose(seed(shared_model, 0)(X), expected, rtol=1e-5)


def test_two_runs_draw_twice():
    """Nothing outlives a run, with the layer made outside of the model."""
    assert not np.allclose(seed(shared_model, 0)(X), seed(shared_model, 1)(X))
    jitted = jax.jit(lambda key: seed(shared_model, key)(X))
    np.testing.assert_allclose(
        jitted(jax.random.key(0)), seed(shared_model, 0)(X), rtol=1e-5
    )


def test_around_a_whole_model():
    def model(x):
        return LAYER(x) + LAYER(x)

    sites = trace(seed(tie(model), 0)).get_trace(X)
    assert list(sites) == ["a.weight", "a.bias"]
    with pytest.raises(ValueError, match=r"'a.weight' exists already.*`name`.*tie"):
        trace(seed(model, 0)).get_trace(X)


def test_density_counts_the_shared_site_once():
    values = {"a.weight": jnp.ones((3, 3)), "a.bias": jnp.zeros(3)}
    density, _ = log_density(shared_model, (X,), {}, values)
    once = sum(dist.Normal().log_prob(v).sum() for v in values.values())
    np.testing.assert_allclose(density, once, rtol=1e-6)


def test_parameters_and_divergences_are_counted_once():
    layer = DenseDVI(3, 3, name="d")

    def model(x):
        with tie(layer) as shared:
            return shared(*shared(x))

    twice = trace(seed(model, 0)).get_trace(X)
    once = trace(seed(layer, 0)).get_trace(X)
    assert list(twice) == list(once)
    np.testing.assert_allclose(
        twice["d.kl"]["fn"].log_factor, once["d.kl"]["fn"].log_factor, rtol=1e-6
    )


def test_data_are_never_tied():
    def model():
        for value in (0.0, 1.0):
            numpyro.sample("y", dist.Normal(), obs=value)

    with pytest.raises(AssertionError, match="unique names"):
        trace(tie(model)).get_trace()


def test_values_from_outside_reach_both_calls():
    values = {"a.weight": jnp.eye(3), "a.bias": jnp.zeros(3)}
    found = substitute(seed(shared_model, 0), values)(X)
    np.testing.assert_allclose(found, jnp.tanh(X), rtol=1e-6)


def test_other_plates_are_an_error():
    def model(x):
        with tie(LAYER) as shared:
            shared(x)
            with numpyro.plate("groups", 2):
                shared(x)

    with pytest.raises(ValueError, match=r"plates of sizes \(\) and is used again.*\(2,\)"):
        seed(model, 0)(X)


def test_temper_reaches_divergences_under_tie():
    def model():
        divergence("kl", jnp.ones(3))

    sites = trace(temper(tie(model), 0.5)).get_trace()
    assert sites["kl"]["scale"] == 0.5
