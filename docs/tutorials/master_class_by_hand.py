# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Master class 1: by hand
#
# Seven regressions of one data set with Equinox and NumPyro alone, for readers who want to see
# every step. Equinox holds the architecture, the model function contains the sites, and
# `equinox.tree_at` inserts the sampled values into the architecture. The models do not use
# this package; the [next level](../master_class_layers/) writes the same seven models with
# layers.
#
# Data, scores and the sampler calls are [shared by the three pages](../../master_class/):
# `nuts` is NumPyro's `MCMC` with two chains of `NUTS`, `mode` is `SVI` with `AutoDelta` from
# eight starts; both predict at 400 inputs.

# %%
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from _master_class import (
    KEYS,
    X_TEST,
    X,
    Y,
    curve,
    frozen,
    mode,
    nuts,
    plt,
    show,
    table,
)
from jax import random

scores = {}
_, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
ax.plot(X_TEST[:, 0], curve(X_TEST[:, 0]), "k--", lw=1, label="sin(x) / x")
ax.plot(X[:, 0], Y, "k.", ms=4, label="100 rows, noise 0.05")
ax.set(xlabel="x", ylabel="y")
_ = ax.legend(fontsize=8, frameon=False)

# %% [markdown]
# ## 1. A line
#
# A polynomial of degree 1. It cannot follow the curve. This is the negative control: a score
# near 1 is informative because this model has one near 0. Its band is wide because `sigma`
# absorbs everything that the line cannot explain.

# %%
line = eqx.nn.Linear(1, "scalar", key=KEYS[1])


def line_model(x, y=None):
    weight = numpyro.sample(
        "weight", dist.Normal(0, 1).expand([1, 1]).to_event(2)
    )
    bias = numpyro.sample("bias", dist.Normal(0, 1).expand([1]).to_event(1))
    net = eqx.tree_at(lambda net: (net.weight, net.bias), line, (weight, bias))
    f = numpyro.deterministic("f", jax.vmap(net)(x))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


scores["1 line"] = show("A line", nuts(line_model, KEYS[1]))

# %% [markdown]
# ## 2. A network at its posterior mode
#
# One hidden layer of 30 tanh units, with standard normal priors on all weights and biases,
# estimated by the posterior mode. The mean is good. The band contains only the noise, because
# a mode has no uncertainty about the curve.
#
# Modules are immutable: `tree_at` returns a new one in which four leaves are sampled.

# %%
network_30 = eqx.nn.MLP(1, "scalar", 30, 1, activation=jnp.tanh, key=KEYS[2])


def leaves(net):
    hidden, out = net.layers
    return hidden.weight, hidden.bias, out.weight, out.bias


def drawn(net):
    names = ("hidden_weight", "hidden_bias", "out_weight", "out_bias")
    values = []
    for name, leaf in zip(names, leaves(net), strict=True):
        prior = dist.Normal(0, 1).expand(leaf.shape).to_event(leaf.ndim)
        values.append(numpyro.sample(name, prior))
    return eqx.tree_at(leaves, net, values)


def network_model(x, y=None, network=network_30):
    f = numpyro.deterministic("f", jax.vmap(drawn(network))(x))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


scores["2 network, mode"] = show(
    "A network at its mode", mode(network_model, KEYS[2])
)

# %% [markdown]
# ## 3. The same with dropout in prediction
#
# A tenth of the hidden units are dropped at random, separately for each row, in training and
# in prediction. The mask is not a latent variable: its key comes from `numpyro.prng_key`, so
# there is no site to infer, and each predictive draw has its own masks. The price of this
# uncertainty is a bias: the curve is shrunk toward zero where few units determine it.


# %%
def dropout_model(x, y=None):
    net = drawn(network_30)
    hidden, out = net.layers
    h = jnp.tanh(jax.vmap(hidden)(x))
    keep = random.bernoulli(numpyro.prng_key(), 0.9, h.shape)
    f = numpyro.deterministic("f", jax.vmap(out)(jnp.where(keep, h / 0.9, 0.0)))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


scores["3 dropout, mode"] = show(
    "Dropout at the mode", mode(dropout_model, KEYS[3], num_draws=100)
)

# %% [markdown]
# ## 4. A network, by its posterior
#
# Half as many units, and the full posterior by NUTS. Units can be permuted without changing
# the curve, so R-hat of a single weight is meaningless. The figures show the worst R-hat over
# the curve and the noise.

# %%
network_15 = eqx.nn.MLP(1, "scalar", 15, 1, activation=jnp.tanh, key=KEYS[4])


def small_network_model(x, y=None):
    return network_model(x, y, network=network_15)


scores["4 network, NUTS"] = show(
    "A network by NUTS", nuts(small_network_model, KEYS[4])
)

# %% [markdown]
# ## 5. Fixed random features
#
# 40 cosines of random frequency and phase, $\sqrt{2/40}\,\cos(xW/\ell + b)$ with $\ell = 1$,
# and a linear readout: a Gaussian process of rank 40. Frequencies and phases are fixed:
# `tree_at` replaces only the readout. The model is linear in the sampled weights, so the
# posterior has one mode, with strong correlations. With `dense_mass` the sampler learns them
# and needs about 15 steps per draw instead of 500.


# %%
class Cosines(eqx.Module):
    frequencies: jax.Array
    phases: jax.Array

    def __call__(self, x):
        scale = math.sqrt(2 / len(self.phases))
        return scale * jnp.cos(x @ self.frequencies + self.phases)


class Readout(eqx.Module):
    cosines: Cosines
    linear: eqx.nn.Linear

    def __call__(self, x):
        return self.linear(self.cosines(x))


readout = Readout(
    Cosines(*frozen(KEYS[5], 40)),
    eqx.nn.Linear(40, "scalar", use_bias=False, key=KEYS[5]),
)


def features_model(x, y=None):
    weight = numpyro.sample(
        "weight", dist.Normal(0, 1).expand([1, 40]).to_event(2)
    )
    net = eqx.tree_at(lambda net: net.linear.weight, readout, weight)
    f = numpyro.deterministic("f", jax.vmap(net)(x))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


scores["5 features"] = show(
    "Frozen features", nuts(features_model, KEYS[5], dense_mass=True)
)

# %% [markdown]
# ## 6. The same with a learned amplitude
#
# The amplitude of the function becomes a parameter, and the prior of the noise favors small
# values: a Gaussian process with two hyperparameters.


# %%
def amplitude_model(x, y=None):
    amplitude = numpyro.sample("amplitude", dist.HalfNormal(1))
    prior = dist.Normal(0, amplitude).expand([1, 40]).to_event(2)
    weight = numpyro.sample("weight", prior)
    net = eqx.tree_at(lambda net: net.linear.weight, readout, weight)
    f = numpyro.deterministic("f", jax.vmap(net)(x))
    sigma = numpyro.sample("sigma", dist.HalfNormal(0.1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


scores["6 amplitude"] = show(
    "Amplitude learned", nuts(amplitude_model, KEYS[6], dense_mass=True)
)

# %% [markdown]
# ## 7. Features of features
#
# A small deep Gaussian process: 15 features of the input, combined into 4 inner functions; 10
# features of each of these, averaged over the four; a linear readout. Only the two weight
# matrices are sampled. A smaller `max_tree_depth` increases R-hat slightly (1.05 instead of
# 1.02) and halves the run time.


# %%
class TwoLayers(eqx.Module):
    first: Cosines
    inner: eqx.nn.Linear
    second: Cosines
    out: eqx.nn.Linear

    def __call__(self, x):
        inner = self.inner(self.first(x))
        return self.out(jax.vmap(self.second)(inner[:, None]).mean(0))


key_first, key_second, key_linear = random.split(KEYS[7], 3)
two_layers = TwoLayers(
    Cosines(*frozen(key_first, 15)),
    eqx.nn.Linear(15, 4, use_bias=False, key=key_linear),
    Cosines(*frozen(key_second, 10)),
    eqx.nn.Linear(10, "scalar", use_bias=False, key=key_linear),
)


def two_layers_model(x, y=None):
    inner = numpyro.sample(
        "inner", dist.Normal(0, 1).expand([4, 15]).to_event(2)
    )
    out = numpyro.sample("out", dist.Normal(0, 1).expand([1, 10]).to_event(2))
    net = eqx.tree_at(
        lambda net: (net.inner.weight, net.out.weight), two_layers, (inner, out)
    )
    f = numpyro.deterministic("f", jax.vmap(net)(x))
    sigma = numpyro.sample("sigma", dist.HalfNormal(0.1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(f, sigma), obs=y)


scores["7 two layers"] = show(
    "Two layers of features",
    nuts(two_layers_model, KEYS[7], 200, 300, max_tree_depth=7),
)

# %% [markdown]
# ## The scores
#
# R² compares the predictive mean with the noise-free curve. R-hat is the worst over the curve
# at the training rows, the noise and the amplitude. Seconds include compilation, beside
# another page that was executed at the same time.

# %%
table(scores)
