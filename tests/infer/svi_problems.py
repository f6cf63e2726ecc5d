"""Small models for the tests of variational ensembles."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

X = jax.random.normal(jax.random.key(0), (12, 2))
Y = X @ jnp.array([1.0, -1.0]) + 0.3 * jax.random.normal(jax.random.key(1), (12,))


def model(x, y=None):
    """Linear regression with a learned spread."""
    w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    f = numpyro.deterministic("f", x @ w)
    with numpyro.plate("data", x.shape[0]):
        numpyro.sample("y", dist.Normal(f, spread), obs=y)


def guide(x, y=None):
    """Written by hand, with starts that depend on the key."""
    loc = numpyro.param("loc", lambda key: 0.3 * jax.random.normal(key, (2,)))
    scale = numpyro.param("scale", 0.1 * jnp.ones(2), constraint=dist.constraints.positive)
    numpyro.sample("w", dist.Normal(loc, scale).to_event(1))
    rate = numpyro.param("rate", jnp.array(2.0), constraint=dist.constraints.positive)
    numpyro.sample("spread", dist.Exponential(rate))
