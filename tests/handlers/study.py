"""Draws of an ELBO's gradient under a gradient estimator, for statistics over many keys.

The problem is one dense layer of 20 inputs and 10 tanh units with a normal guide of
standard deviation 1/e; the guide's divergence is in closed form, so all noise in the
gradient comes from the likelihood.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, TraceMeanField_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.optim import Adam

from numpyro_bayeslayers.layers import DenseReparameterization

SCALE = float(np.exp(-1.0))
LOCS = {
    "f.weight_auto_loc": 0.1 * jax.random.normal(jax.random.key(0), (20, 10)),
    "f.bias_auto_loc": jnp.zeros(10),
}


def tanh_model(x, y=None):
    f = jnp.tanh(DenseReparameterization(20, 10, name="f")(x))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, 1.0).to_event(1), obs=y)


def data(rows):
    """Rows and the outputs of the layer at the guide's means: the end of a fit."""
    x = jax.random.normal(jax.random.key(rows), (rows, 20))
    return x, jnp.tanh(x @ LOCS["f.weight_auto_loc"] + LOCS["f.bias_auto_loc"])


def gradient_draws(estimate, rows, draws, seed, model=tanh_model, start=LOCS):
    """Gradients by the guide's means and scales of ``f.weight``, (draws, entries) each.

    `estimate` is applied to the model; pass ``lambda model: model`` for the plain one.
    """
    x, y = data(rows)
    guide = AutoNormal(model, init_scale=SCALE)
    svi = SVI(model, guide, Adam(1e-3), TraceMeanField_ELBO())
    params = svi.get_params(jax.jit(svi.init)(jax.random.key(1), x, y))
    params |= start
    handled = estimate(model)

    def objective(params, key):
        # Per row, so that batches of different sizes compare.
        return svi.loss.loss(key, params, handled, guide, x, y) / rows

    def one(key):
        grads = jax.grad(objective)(params, key)
        return grads["f.weight_auto_loc"].ravel(), grads["f.weight_auto_scale"].ravel()

    keys = jax.random.split(jax.random.key(seed), draws)
    locs, scales = jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=100))(keys)
    return np.asarray(locs, np.float64), np.asarray(scales, np.float64)


def z_scores(a, b):
    """Standardised differences of the means of two samples, column by column."""
    spread = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    return (a.mean(0) - b.mean(0)) / spread


def variance_ratio(plain, estimate):
    """Total variance of the plain gradient over that of the estimate."""
    return plain.var(0).sum() / estimate.var(0).sum()
