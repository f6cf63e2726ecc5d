"""Gradient estimators of dense layers work inside of the members and around the ensemble."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from numpyro.infer.autoguide import AutoDelta, AutoNormal
from numpyro.optim import Adam

from numpyro_bayeslayers import primitives
from numpyro_bayeslayers.handlers import flipout, local_reparameterization, mc_dropout
from numpyro_bayeslayers.handlers._ensemble import ensemble

from .members import SIZE, X, Y, compiled


def network(x, y=None):
    with handlers.scope(prefix="hidden", divider="."):
        h = jnp.tanh(dense(x, 2, 4))
    with handlers.scope(prefix="out", divider="."):
        mu = dense(h, 4, 1)[..., 0]
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(mu, 0.3), obs=y)


def dense(x, d_in, d_out):
    prior = dist.Normal(0, 1 / d_in**0.5).expand([d_in, d_out]).to_event(2)
    weight = primitives.sample_site("weight", prior)
    bias = primitives.sample_site("bias", dist.Normal(0, 1).expand([d_out]).to_event(1))
    return primitives.linear(x, weight, bias)


class Watch(numpyro.primitives.Messenger):
    """Keeps what a handler can see of each linear message."""

    def __init__(self, fn=None):
        self.seen = {}
        super().__init__(fn)

    def process_message(self, msg):
        if msg["type"] == "linear":
            x, weight, bias = msg["args"]
            posteriors = [primitives.posterior_of(msg[name]) for name in ("weight", "bias")]
            self.seen[msg["name"]] = {
                "in msg": "name" in msg,
                "sites": (msg["weight"].value is weight, msg["bias"].value is bias),
                "shapes": [jnp.shape(a) for a in (x, weight, bias)],
                "posteriors": [None if p is None else p.shape() for p in posteriors],
                "same": jnp.allclose(
                    msg["fn"](x, weight, bias), msg["fn"](1 * x, weight, bias)
                ),
            }


def loss_of(model, guide, params):
    return TraceMeanField_ELBO().loss(random.key(2), params, model, guide, X, Y)


def run_watched(model, plain, loss=None):
    """An ELBO of `model` with the autoguide of `plain`, without computing anything."""
    loss, guide = loss or TraceMeanField_ELBO(), AutoNormal(plain)
    svi = SVI(plain, guide, Adam(0.1), loss)

    def program():
        params = svi.get_params(svi.init(random.key(0), X, Y))
        return loss.loss(random.key(1), params, model, guide, X, Y)

    jax.eval_shape(program)


@functools.cache
def guide_and_params(guide=AutoNormal):
    guide = guide(ensemble(network, SIZE))
    svi = SVI(ensemble(network, SIZE), guide, Adam(0.1), TraceMeanField_ELBO())
    return guide, svi.get_params(jax.jit(svi.init)(random.key(0), X, Y))


def test_what_handlers_outside_see():
    """All members on the leading axis of operands, and of the guide's distributions."""
    watch = Watch(ensemble(network, SIZE))
    run_watched(watch, ensemble(network, SIZE))
    assert set(watch.seen) == {"hidden.weight$linear", "out.weight$linear"}
    hidden, out = watch.seen.values()
    assert hidden["shapes"] == [(SIZE, 12, 2), (SIZE, 2, 4), (SIZE, 4)]
    assert out["shapes"] == [(SIZE, 12, 4), (SIZE, 4, 1), (SIZE, 1)]
    for seen in (hidden, out):
        assert seen["posteriors"] == seen["shapes"][1:]
        assert seen["sites"] == (True, True)
        assert not seen["in msg"]


def test_what_handlers_inside_see():
    watch = Watch(network)
    run_watched(ensemble(watch, SIZE, dim=-2), ensemble(network, SIZE))
    hidden = watch.seen["hidden.weight$linear"]
    assert hidden["shapes"] == [(12, 2), (2, 4), (4,)]
    assert hidden["posteriors"] == hidden["shapes"][1:]


def test_each_member_has_its_part_of_the_guide():
    found = []

    def watched(x, y):
        site = primitives.sample_site("w", dist.Normal(0, 1).expand([2]).to_event(1))
        found.append(primitives.posterior_of(site))
        numpyro.deterministic("loc", found[-1].mean)
        numpyro.deterministic("variance", found[-1].variance)

    model = ensemble(watched, SIZE, dim=-2)

    def guide(x, y):
        loc = numpyro.param("loc", lambda key: random.normal(key, (2,)))
        numpyro.sample("w", dist.Normal(loc, 0.1).to_event(1))

    guide_trace = handlers.trace(handlers.seed(ensemble(guide, SIZE), 0)).get_trace(X, Y)
    sites = handlers.trace(handlers.replay(model, trace=guide_trace)).get_trace(X, Y)
    assert isinstance(found[-1], dist.Independent)
    np.testing.assert_allclose(sites["loc"]["value"], guide_trace["loc"]["value"])
    np.testing.assert_allclose(
        sites["variance"]["value"], jnp.full((SIZE, 2), 0.01), rtol=1e-6
    )


@pytest.mark.parametrize("is_outside", [False, True])
def test_posteriors_pass_through_ensembles_of_ensembles(is_outside):
    def nested(model):
        return ensemble(ensemble(model, 2, name="inner", dim=-2), SIZE, dim=-3)

    watch = Watch(nested(network)) if is_outside else Watch(network)
    run_watched(watch if is_outside else nested(watch), nested(network))
    expected = [(SIZE, 2, 2, 4), (SIZE, 2, 4)] if is_outside else [(2, 4), (4,)]
    assert watch.seen["hidden.weight$linear"]["posteriors"] == expected


@pytest.mark.filterwarnings("ignore")
def test_nothing_changes_without_a_normal_guide():
    guide, params = guide_and_params(AutoDelta)
    plain = ensemble(network, SIZE)
    models = [plain, *(f(plain) for f in (flipout, local_reparameterization))]
    models += [ensemble(f(network), SIZE) for f in (flipout, local_reparameterization)]
    losses = [compiled(lambda m=m: loss_of(m, guide, params))() for m in models]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("estimate", [flipout, local_reparameterization])
@pytest.mark.parametrize("is_outside", [False, True])
def test_gradients_keep_their_mean_and_lose_variance(estimate, is_outside):
    """Largest of 24 z-scores at 4000 draws; the bound fails once in 10,000 runs."""
    guide, params = guide_and_params()
    x = random.normal(random.key(5), (100, 2))
    y = jnp.sin(x[:, 0])
    plain = ensemble(network, SIZE)
    model = estimate(plain) if is_outside else ensemble(estimate(network), SIZE)

    def draws(model, seed):
        def gradient(key):
            def loss(params):
                return TraceMeanField_ELBO().loss(key, params, model, guide, x, y)

            return jax.grad(loss)(params)["hidden.weight_auto_scale"]

        keys = random.split(random.key(seed), 4000)
        return jax.jit(lambda keys: jax.lax.map(gradient, keys, batch_size=100))(keys)

    naive, estimated = draws(plain, 1), draws(model, 2)
    error = jnp.sqrt((naive.var(0) + estimated.var(0)) / 4000)
    assert jnp.abs((naive.mean(0) - estimated.mean(0)) / error).max() < 4.7
    assert estimated.var(0).sum() < 0.7 * naive.var(0).sum()


def test_dropout_around_is_the_members_own():
    """Members that share their data still have masks of their own."""
    model = mc_dropout(ensemble(network, SIZE), rate=0.5)
    values = {
        "hidden.weight": jnp.ones((SIZE, 1, 2, 4)),
        "hidden.bias": jnp.zeros((SIZE, 1, 4)),
        "out.weight": jnp.ones((SIZE, 1, 4, 1)),
        "out.bias": jnp.zeros((SIZE, 1, 1)),
    }
    sites = handlers.trace(handlers.seed(handlers.substitute(model, values), 0)).get_trace(
        X
    )
    mean = sites["y"]["fn"].mean
    assert mean.shape == (SIZE, 12)
    assert not jnp.allclose(mean[0], mean[1])


@pytest.mark.parametrize("is_mapped", [False, True])
def test_operands_that_are_no_sites(is_mapped):
    """Indices of each member's own, and weights that are made, not drawn."""
    lookup = primitives.Lookup()

    def model():
        z = numpyro.sample("z", dist.Normal(0, 1).expand([5, 2]).to_event(2))
        index = jnp.arange(3)
        if is_mapped:
            index = random.randint(numpyro.prng_key(), (3,), 0, 5)
        weight = 2.0 * z
        return primitives.linear(index, weight, op=lookup), weight[index]

    actual, expected = handlers.seed(ensemble(model, SIZE), 0)()
    assert actual.shape == (SIZE, 3, 2)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_an_answer_inside_is_seen_outside():
    class Answer(numpyro.primitives.Messenger):
        def process_message(self, msg):
            if msg["type"] == "linear":
                msg["value"] = jnp.full((12, msg["args"][1].shape[-1]), 7.0)

    values = []

    class Listen(numpyro.primitives.Messenger):
        def process_message(self, msg):
            if msg["type"] == "linear":
                values.append(msg["value"])

    jax.eval_shape(lambda: handlers.seed(Listen(ensemble(Answer(network), SIZE)), 0)(X))
    assert [v.shape for v in values] == [(SIZE, 12, 4), (SIZE, 12, 1)]


def test_trace_elbo_finds_the_guide_too():
    watch = Watch(ensemble(network, SIZE))
    run_watched(watch, ensemble(network, SIZE), Trace_ELBO())
    assert watch.seen["out.weight$linear"]["posteriors"] == [(SIZE, 4, 1), (SIZE, 1)]
