"""Flipout and local reparameterization find every linear map of the fields."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed, trace
from numpyro.infer import Trace_ELBO
from numpyro.primitives import Messenger

from numpyro_bayeslayers.handlers import flipout, local_reparameterization
from numpyro_bayeslayers.layers import BayesianNeuralField, BayesianSIREN
from tests.quick import mostly_slow

X = np.random.default_rng(0).uniform(-1, 1, (6, 2)).astype(np.float32)
NETWORKS = {
    "field": BayesianNeuralField([2.0, 1.0], [0, 0], [], [], [], 4, 2, name="f"),
    "siren": BayesianSIREN.init(
        2, 5, 1, depth=3, first_omega=3.0, hidden_omega=2.0, name="f"
    ),
}


class Listen(Messenger):
    """Notes the linear maps that pass."""

    def __init__(self, fn):
        self.names = []
        super().__init__(fn)

    def process_message(self, msg):
        if msg["type"] == "linear":
            self.names.append(msg["weight"].name)


@pytest.mark.parametrize("name", mostly_slow(NETWORKS))
def test_every_linear_map_is_taken_over(name):
    """At a narrow guide a gradient estimator gives the plain value, at a wide one its own.

    A map that was left out would be named in a warning, which is an error here.
    """
    network = NETWORKS[name]
    listen = Listen(network)
    shapes = jax.eval_shape(
        lambda key: {
            n: s["value"] for n, s in trace(seed(listen, key)).get_trace(X).items()
        },
        jax.random.key(0),
    )
    weights = [n for n in shapes if n.endswith(("_W", "weight")) and "logit" not in n]
    assert listen.names == weights
    assert len(weights) == 3

    def model(x):
        f = network(x).reshape(len(x))
        numpyro.sample("y", dist.Normal(f, 1.0).to_event(1), obs=x[:, 0])

    def guide(x, scale):
        for site, value in shapes.items():
            loc = np.full(value.shape, 0.3)
            numpyro.sample(site, dist.Normal(loc, scale).to_event(loc.ndim))

    def objectives(scale):
        def objective(handler):
            key, elbo = jax.random.key(0), Trace_ELBO()
            handled = handler(model) if handler else model
            return elbo.loss(key, {}, lambda x, _: handled(x), guide, X, scale)

        return [objective(h) for h in (None, flipout, local_reparameterization)]

    evaluate = jax.jit(objectives)
    plain, *estimates = evaluate(1e-6)
    np.testing.assert_allclose(estimates, plain, rtol=1e-5)
    plain, *estimates = evaluate(0.5)
    assert all(abs(e - plain) > 1e-3 for e in estimates)
