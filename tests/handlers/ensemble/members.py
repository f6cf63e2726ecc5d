"""Models to make ensembles of, and what tests compare an ensemble with: its members."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from numpyro import handlers
from numpyro.infer.util import log_density

SIZE = 3
X = random.normal(random.key(0), (12, 2))
Y = jnp.sin(X[:, 0]) + 0.1 * random.normal(random.key(1), (12,))


def regression(x, y=None, subsample_size=None):
    """A network of two units under a data plate: the shapes go through a product."""
    with handlers.scope(prefix="net", divider="."):
        w = numpyro.sample("w", dist.Normal(0, 1).expand([2, 2]).to_event(2))
        b = numpyro.sample("b", dist.Normal(0, 1).expand([2]).to_event(1))
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("data", x.shape[0], subsample_size=subsample_size):
        x = numpyro.subsample(x, event_dim=1)
        y = None if y is None else numpyro.subsample(y, event_dim=0)
        mu = numpyro.deterministic("mu", jnp.tanh(x @ w + b) @ jnp.array([1.0, -1.0]))
        numpyro.sample("y", dist.Normal(mu, s), obs=y)


def compiled(fn):
    """`jax.jit` for programs that run once: compiled faster than they could be."""
    options = {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    }
    return jax.jit(fn, compiler_options=options)


def trace_of(model, *args, key=0, **kwargs):
    """A trace, run as one program. Of its distributions only the shapes can be used."""
    traced = {}

    def run():
        sites = handlers.trace(handlers.seed(model, key)).get_trace(*args, **kwargs)
        traced.update(sites)
        return {name: site["value"] for name, site in sites.items()}

    values = compiled(run)()
    return {name: {**traced[name], "value": value} for name, value in values.items()}


def latents(sites):
    """Values of the latent sites of a trace."""
    return {
        name: site["value"]
        for name, site in sites.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def density(model, values, *args, **kwargs):
    """The log density of a model at `values`, as one program."""
    return compiled(lambda values: log_density(model, args, kwargs, values)[0])(values)


def of_member(values, e, sites, nesting=1):
    """The values that one member has, in the shapes of a plain trace."""
    taken = {}
    for name, value in values.items():
        event_dim = sites[name]["fn"].event_dim
        axis = jnp.ndim(value) - event_dim - nesting - 1
        shape = jnp.shape(sites[name]["value"])
        taken[name] = jnp.take(value, e, axis).reshape(shape)
    return taken


def sum_over_members(model, values, size, *args, nesting=1, **kwargs):
    """The log density that an ensemble should have: that of each member, added up."""
    sites = trace_of(model, *args, **kwargs)

    def one(e):
        return log_density(model, args, kwargs, of_member(values, e, sites, nesting))[0]

    return compiled(lambda: jax.lax.map(one, jnp.arange(size)).sum())()


def assert_trees_close(actual, expected, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
