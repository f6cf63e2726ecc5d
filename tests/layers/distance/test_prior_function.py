"""Frozen copies: what they are, that they stay, and that members differ by them."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import Predictive
from numpyro.infer.autoguide import AutoDelta, AutoNormal

from numpyro_bayeslayers import infer
from numpyro_bayeslayers.infer import EnsembleSVI
from numpyro_bayeslayers.layers import (
    DenseDVI,
    DenseReparameterization,
    EpinetLayer,
    prior_function,
)

DENSE = DenseReparameterization(2, 1, name="f")
X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 2)))
Y = jnp.sin(X[:, 0])


def model(x, y=None):
    f = prior_function(DENSE, 3.0, name="p")(x)[..., 0]
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, 0.3), obs=y)


def test_output_is_the_layer_plus_its_copy():
    layer = prior_function(DENSE, 3.0, name="p")
    sites = trace(seed(layer, 0)).get_trace(X)
    kinds = {name: site["type"] for name, site in sites.items()}
    assert kinds == {
        "p.f.weight": "sample",
        "p.f.bias": "sample",
        "p.prior.weight": "param",
        "p.prior.bias": "param",
    }
    values = {name: site["value"] for name, site in sites.items()}
    own, prior = (
        X @ values[f"p.{part}.weight"] + values[f"p.{part}.bias"] for part in ("f", "prior")
    )
    found = seed(substitute(layer, values), 1)(X)
    np.testing.assert_allclose(found, own + 3.0 * prior, rtol=1e-5)


def test_copy_is_a_draw_of_the_prior():
    """The mean square of 400 entries; five standard errors."""
    wide = prior_function(DenseReparameterization(20, 20, False, 0.5), name="p")
    weight = trace(seed(wide, 0)).get_trace(jnp.ones((1, 20)))["p.prior.weight"]["value"]
    square = np.mean(np.square(weight)) / 0.25
    assert abs(square - 1) < 5 * np.sqrt(2 / 400)


def test_a_key_fixes_the_copy():
    """In every run, in ensembles too; it is then no parameter."""
    layer = prior_function(DENSE, 3.0, key=jax.random.key(5), name="p")
    zero = {"p.f.weight": jnp.zeros((2, 1)), "p.f.bias": jnp.zeros(1)}
    first, again = (seed(substitute(layer, zero), key)(X) for key in (0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first).max() > 0.1
    assert set(trace(seed(layer, 0)).get_trace(X)) == set(zero)


@pytest.fixture(scope="module")
def ensemble():
    svi = EnsembleSVI(model, AutoDelta, optax.adam(0.1), num_members=3)
    return svi, svi.run(jax.random.key(0), 400, X, Y, progress_bar=False)


def test_members_have_copies_of_their_own_that_stay(ensemble):
    svi, result = ensemble
    copies = np.asarray(result.params["p.prior.weight"])
    start = svi.init(jax.random.key(0), X, Y)
    np.testing.assert_array_equal(copies, svi.get_params(start)["p.prior.weight"])
    assert len({float(c) for c in copies.reshape(3, -1)[:, 0]}) == 3


def test_modes_are_those_of_the_moved_problem(ensemble):
    """For each member by the normal equations: targets less three times the copy."""
    _, result = ensemble
    phi = np.c_[X, np.ones(6)]
    gram = phi.T @ phi / 0.3**2 + np.eye(3)
    for e in range(3):
        prior = [
            np.asarray(result.params[f"p.prior.{n}"])[e].ravel() for n in ("weight", "bias")
        ]
        moved = np.asarray(Y) - 3.0 * phi @ np.concatenate(prior)
        mode = np.linalg.solve(gram, phi.T @ moved / 0.3**2)
        found = np.concatenate(
            [
                np.asarray(result.params[f"p.f.{n}_auto_loc"])[e].ravel()
                for n in ("weight", "bias")
            ]
        )
        np.testing.assert_allclose(found, mode, atol=0.1)


def test_members_agree_near_the_data_and_differ_far_from_it(ensemble):
    svi, result = ensemble
    both = jnp.concatenate([X, 30 * X])
    draws = svi.predict(jax.random.key(1), result, both, num_samples=40)
    mean = np.asarray(draws["y"]).mean(0).reshape(3, 12)
    spread = mean.std(0)
    assert spread[6:].mean() > 5 * spread[:6].mean()


@pytest.mark.usefixtures("as_users_run")
def test_what_cannot_be_copied_is_refused():
    with pytest.raises(TypeError, match="`layer` must be a layer"):
        prior_function(lambda x: x)
    with pytest.raises(ValueError, match="`scale` must be zero or positive"):
        prior_function(DENSE, -1.0)


def test_optimized_parameters_and_divergences_are_the_layers_own():
    """A copy of a layer of parameters gets no gradient, and its divergence does not count."""
    layer = prior_function(DenseDVI(2, 1, name="f"), name="p")
    sites = trace(seed(layer, 0)).get_trace(X)
    assert [n for n, s in sites.items() if s["type"] == "sample"] == ["p.f.kl"]
    value = {name: s["value"] for name, s in sites.items() if s["type"] == "param"}

    def total(value):
        return sum(jnp.sum(out) for out in seed(substitute(layer, value), 0)(X))

    grads = jax.grad(total)(value)
    assert not grads["p.prior.weight_loc"].any()
    assert grads["p.f.weight_loc"].any()


# Epinets

EPINET = EpinetLayer.init(2, 2, 3, 5, 1, scale=0.5, key=jax.random.key(3), name="e")


def by_hand(values, x, z, prefix):
    inputs = np.c_[x, np.tile(z, (len(x), 1))]
    h = np.maximum(
        inputs @ values[f"{prefix}hidden_0.weight"] + values[f"{prefix}hidden_0.bias"], 0
    )
    out = h @ values[f"{prefix}out.weight"] + values[f"{prefix}out.bias"]
    return out.reshape(len(x), 2, 3) @ z


def test_epinet_is_its_formula():
    """The learned network by its sites, and twice with them at zero for the fixed one."""
    sites = trace(seed(EPINET, 0)).get_trace(X)
    values = {name: site["value"] for name, site in sites.items()}
    assert values["e.net.hidden_0.weight"].shape == (5, 5)
    assert values["e.net.out.weight"].shape == (5, 6)
    z = np.array([0.3, -1.0, 2.0])
    run = lambda values, scale=0.5: seed(
        substitute(
            EpinetLayer(2, 2, EPINET.prior_key, 3, 5, 1, scale, name="e"), data=values
        ),
        0,
    )(X, z)
    zeros = {name: jnp.zeros_like(v) for name, v in values.items()}
    learned = run(values) - run(zeros)
    np.testing.assert_allclose(learned, by_hand(values, X, z, "e.net."), atol=1e-5)
    np.testing.assert_allclose(run(zeros, 1.0), 2 * run(zeros), rtol=1e-5)
    assert np.abs(run(zeros)).max() > 0.05


def test_rows_of_a_call_share_an_index():
    """Rows of a call share one index; two calls do not; the inputs get no gradient."""
    same = jnp.ones((2, 2))
    values = {
        name: site["value"] for name, site in trace(seed(EPINET, 0)).get_trace(X).items()
    }
    fixed = substitute(EPINET, values)
    first, other = (seed(fixed, key)(same) for key in (0, 1))
    np.testing.assert_array_equal(first[0], first[1])
    assert not np.allclose(first, other)
    assert not jax.grad(lambda x: jnp.sum(seed(fixed, 0)(x)))(X).any()
    with pytest.raises(ValueError, match="`index` must have 3 entries"):
        seed(fixed, 0)(X, jnp.ones(4))


def epistemic(x, y=None):
    f = DenseReparameterization(2, 1, name="base")(x) + EpinetLayer.init(
        2, 1, 3, 5, 1, scale=2.0, key=jax.random.key(3), name="e"
    )(x)
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f[..., 0], 0.3), obs=y)


@pytest.mark.slow
def test_epinet_in_fit_has_joint_draws():
    """Draws of two like rows have almost the same mean, and differ between draws."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the loss still falls
        method = infer.VI(guide="delta")
        found = infer.fit(
            epistemic, y=Y, x=X, method=method, num_steps=50, progress_bar=False
        )
    far = jnp.tile(10 * X[:1], (2, 1))
    draws = np.asarray(found.predict(x=far, num_samples=200).samples)
    assert np.corrcoef(draws.T)[0, 1] > 0.5


def test_prior_functions_in_stock_svi_and_predictive():
    guide = AutoNormal(model)
    svi = numpyro.infer.SVI(model, guide, optax.adam(0.1), numpyro.infer.Trace_ELBO())
    result = svi.run(jax.random.key(0), 20, X, Y, progress_bar=False)
    predictive = Predictive(model, guide=guide, params=result.params, num_samples=3)
    assert predictive(jax.random.key(1), X)["y"].shape == (3, 6)
