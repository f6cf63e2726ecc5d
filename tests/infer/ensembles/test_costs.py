"""What XLA is asked to do for a step, beside the program that one would write by hand.

Operations, bytes and temporary memory are the compiler's own figures: they do not swing with the
machine. A bound is a few hundredths above the program by hand.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from jax import random
from numpyro.handlers import seed
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density, potential_energy

from numpyro_bayeslayers.handlers import ensemble, flipout, local_reparameterization
from numpyro_bayeslayers.infer import EnsembleMAP, EnsembleSVI
from numpyro_bayeslayers.layers import DenseReparameterization

MEMBERS, ROWS, WIDTH = 8, 200, 16
X = random.normal(random.key(0), (ROWS, WIDTH))
Y = jnp.sin(X.sum(1))
ADAM = optax.adam(0.01)


def layered(x, y=None):
    h = jnp.tanh(DenseReparameterization(WIDTH, 32, name="h")(x))
    f = DenseReparameterization(32, 1, name="f")(h)[..., 0]
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, 0.3), obs=y)


def dense_by_hand(name, x, width):
    prior = dist.Normal(0.0, 1.0)
    w = numpyro.sample(f"{name}.weight", prior.expand([x.shape[-1], width]).to_event(2))
    return x @ w + numpyro.sample(f"{name}.bias", prior.expand([width]).to_event(1))


def hand(x, y=None):
    h = jnp.tanh(dense_by_hand("h", x, 32))
    f = dense_by_hand("f", h, 1)[..., 0]
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, 0.3), obs=y)


def figures(fn, *args):
    """Operations, bytes and temporary memory of a program, and its text."""
    compiled = jax.jit(fn).lower(*args).compile()
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    numbers = cost["flops"], cost["bytes accessed"], memory.temp_size_in_bytes
    return dict(zip(("flops", "bytes", "memory"), numbers, strict=True)), compiled.as_text()


def check(ours, other, bound=1.05, which=("flops", "bytes", "memory")):
    (ours, text), (other, _) = figures(*ours), figures(*other)
    for name in which:
        assert ours[name] <= bound * other[name], (name, ours, other)
    assert " sort(" not in text


def log_joint(w, x, y):
    f = jnp.tanh(x @ w["h"]) @ w["f"]
    return -0.5 * jnp.sum((y - f) ** 2), -0.5 * sum(jnp.sum(p**2) for p in w.values())


def mode_start(key):
    return {"h": random.normal(key, (WIDTH, 32)) / 4, "f": jnp.zeros(32)}


def test_step_of_modes():
    """Against one `jax.vmap` of value, gradient and Adam."""
    fit = EnsembleMAP(log_joint, mode_start, ADAM, MEMBERS)

    def member(params, opt_state, x, y):
        loss = lambda p: -sum(log_joint(p, x, y))
        value, grads = jax.value_and_grad(loss)(params)
        updates, opt_state = ADAM.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    state = fit.init(0)
    step = jax.vmap(member, in_axes=(0, 0, None, None))
    check((fit.update, state, X, Y), (step, state.params, state.opt_state, X, Y), 1.02)


@pytest.fixture(scope="module")
def stock():
    """A step of NumPyro's SVI of the model by hand, mapped over members."""
    svi = SVI(hand, AutoNormal(hand), ADAM, Trace_ELBO())
    start = jax.jit(jax.vmap(lambda key: svi.init(key, X, Y)))
    state = start(random.split(random.key(0), MEMBERS))
    return svi, state


def test_variational_step(stock):
    """`EnsembleSVI` of layers against mapped stock `SVI` of products by hand."""
    svi, state = stock
    fit = EnsembleSVI(layered, AutoNormal, ADAM, num_members=MEMBERS)
    step = lambda state, x, y: jax.vmap(lambda s: svi.update(s, x, y))(state)
    check((fit.update, fit.init(0, X, Y), X, Y), (step, state, X, Y), 1.02)


ELBO = Trace_ELBO()


def elbo_of(model, guide):
    def loss(params, key, x, y):
        return ELBO.loss(key, params, model, guide, x, y)

    return jax.value_and_grad(loss)


def estimated_by_hand(how):
    """One dense layer and its ELBO, with the estimator written out."""

    def loss(params, key, x, y):
        keys = random.split(key, 4)
        loc, scale = params["loc"], params["scale"]
        w = loc + scale * random.normal(keys[0], loc.shape)
        if how == "flipout":
            s = random.rademacher(keys[1], x.shape, x.dtype)
            r = random.rademacher(keys[2], (len(x), loc.shape[1]), x.dtype)
            f = x @ loc + ((x * s) @ (w - loc)) * r
        else:
            noise = random.normal(keys[1], (len(x), loc.shape[1]))
            f = x @ loc + jnp.sqrt(jnp.square(x) @ jnp.square(scale)) * noise
        joint = dist.Normal(f[:, 0], 0.3).log_prob(y).sum()
        joint += dist.Normal(0.0, 1.0).log_prob(w).sum()
        return dist.Normal(loc, scale).log_prob(w).sum() - joint

    return jax.value_and_grad(loss)


@pytest.mark.parametrize("how", [flipout, local_reparameterization])
def test_gradient_estimator(how):
    layer = DenseReparameterization(WIDTH, 1, bias=False, name="f")

    def model(x, y):
        f = layer(x)[..., 0]
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(f, 0.3), obs=y)

    def guide(x, y):
        loc = numpyro.param("loc", jnp.zeros((WIDTH, 1)))
        scale = numpyro.param("scale", jnp.ones((WIDTH, 1)))
        numpyro.sample("f.weight", dist.Normal(loc, scale).to_event(2))

    params = {"loc": jnp.zeros((WIDTH, 1)), "scale": jnp.ones((WIDTH, 1))}
    args = params, random.key(0), X, Y
    other = estimated_by_hand(how.__name__)
    check((elbo_of(how(model), guide), *args), (other, *args), which=("flops", "bytes"))


def latents(batch=()):
    shapes = {"h.weight": (WIDTH, 32), "h.bias": (32,), "f.weight": (32, 1), "f.bias": (1,)}
    return {n: jnp.full((*batch, *shape), 0.1) for n, shape in shapes.items()}


def test_ensemble_as_a_model():
    """The density of all members and its gradient, against `jax.vmap` of that of one."""

    def one(values, x, y):
        return log_density(hand, (x, y), {}, values)[0]

    mapped = lambda v, x, y: jax.vmap(one, (0, None, None))(v, x, y).sum()
    plated = lambda v, x, y: log_density(ensemble(layered, MEMBERS), (x, y), {}, v)[0]
    values = latents((MEMBERS,))
    led = {n: v.reshape(MEMBERS, 1, *v.shape[1:]) for n, v in latents((MEMBERS,)).items()}
    check((jax.grad(plated), led, X, Y), (jax.grad(mapped), values, X, Y))


def test_potential_of_layers():
    """What NUTS evaluates, against that of the model by hand."""

    def of(model):
        return jax.value_and_grad(
            lambda v, x, y: potential_energy(seed(model, random.key(0)), (x, y), {}, v)
        )

    check((of(layered), latents(), X, Y), (of(hand), latents(), X, Y), 1.02)
