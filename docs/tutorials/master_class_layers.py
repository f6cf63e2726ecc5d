# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Master class 2: with layers
#
# The same seven regressions as [by hand](../master_class_by_hand/), with layers. Read this
# page first if you write new models. A layer is called like a function and samples its own
# parameters, so a model is `f = net(x)` and a likelihood. You need not choose names or repeat
# shapes. The sites are ordinary NumPyro sites (`hidden.weight`), and the samplers are
# NumPyro's.

# %%
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from _master_class import KEYS, X, Y, frozen, mode, nuts, show, table
from numpyro.handlers import condition

from numpyro_bayeslayers.layers import (
    DenseReparameterization,
    MCDropout,
    RBFCosineFeatures,
    gaussian_link,
)

scores = {}

# %% [markdown]
# The likelihood of all seven: normal noise, whose standard deviation `y.sigma` has a half-normal
# prior.


# %%
def observe(f, y, scale=1.0):
    f = numpyro.deterministic("f", f)
    prior = {"sigma_dist": dist.HalfNormal, "sigma_kwargs": {"scale": scale}}
    gaussian_link(f, y, name="y", **prior)


# %% [markdown]
# ## 1. A line
#
# The negative control: one dense layer of one input and one output.

# %%
line = DenseReparameterization(1, 1, name="line")


def line_model(x, y=None):
    observe(line(x), y)


scores["1 line"] = show("A line", nuts(line_model, KEYS[1]))

# %% [markdown]
# ## 2. A network at its posterior mode
#
# Dense layers have standard normal priors by default.


# %%
def network(x, width, middle=lambda h: h):
    h = jnp.tanh(DenseReparameterization(1, width, name="hidden")(x))
    return DenseReparameterization(width, 1, name="out")(middle(h))


def network_model(x, y=None):
    observe(network(x, 30), y)


scores["2 network, mode"] = show(
    "A network at its mode", mode(network_model, KEYS[2])
)

# %% [markdown]
# ## 3. The same with dropout in prediction
#
# `MCDropout` is a plain module without sites; inside a model its key is `numpyro.prng_key()`.
# (The handler `mc_dropout` adds dropout before every product of a model; here it would drop
# the only input too.)


# %%
def dropout_model(x, y=None):
    observe(network(x, 30, MCDropout(0.1)), y)


scores["3 dropout, mode"] = show(
    "Dropout at the mode", mode(dropout_model, KEYS[3], num_draws=100)
)

# %% [markdown]
# ## 4. A network, by its posterior

# %%
small_network_model = lambda x, y=None: observe(network(x, 15), y)
scores["4 network, NUTS"] = show(
    "A network by NUTS", nuts(small_network_model, KEYS[4])
)

# %% [markdown]
# ## 5. Fixed random features
#
# A feature layer has priors for its frequencies, phases and lengthscale.
# `numpyro.handlers.condition` fixes them at one draw; it accepts a layer like any model.


# %%
def cosines(key, number, name):
    frequencies, phases = frozen(key, number)
    values = {
        f"{name}.W": frequencies,
        f"{name}.b": phases,
        f"{name}.lengthscale": 1.0,
    }
    return condition(RBFCosineFeatures(1, number, name=name), values)


features = cosines(KEYS[5], 40, "phi")
readout = DenseReparameterization(40, 1, bias=False, name="readout")


def features_model(x, y=None):
    observe(readout(features(x)), y)


scores["5 features"] = show(
    "Frozen features", nuts(features_model, KEYS[5], dense_mass=True)
)

# %% [markdown]
# ## 6. The same with a learned amplitude
#
# Weights with standard deviation `amplitude` are written as standard normal weights times the
# amplitude: the same distribution, non-centered.


# %%
def amplitude_model(x, y=None):
    amplitude = numpyro.sample("amplitude", dist.HalfNormal(1))
    observe(readout(amplitude * features(x)), y, scale=0.1)


scores["6 amplitude"] = show(
    "Amplitude learned", nuts(amplitude_model, KEYS[6], dense_mass=True)
)

# %% [markdown]
# Given amplitude and noise, the 40 weights and the data are jointly normal, so the weights
# need not be sampled. `readout.marginal` is the exact distribution of the data with the
# weights integrated out, and NUTS samples only two variables. For predictions,
# `readout.condition` gives the exact posterior of the weights for each draw.


# %%
seen = features(X)


def scales():
    amplitude = numpyro.sample("amplitude", dist.HalfNormal(1))
    return amplitude, numpyro.sample("sigma", dist.HalfNormal(0.1))


def collapsed_model(x, y=None):
    amplitude, sigma = scales()
    numpyro.sample("y", readout.marginal(amplitude * features(x), sigma), obs=y)


def predict(x):
    amplitude, sigma = scales()
    posterior = readout.condition(amplitude * seen, Y, sigma)
    numpyro.sample("y", posterior.marginal(amplitude * features(x), sigma))


scores["6 amplitude, weights integrated out"] = show(
    "Weights integrated out", nuts(collapsed_model, KEYS[6], predict=predict)
)

# %% [markdown]
# ## 7. Features of features
#
# Layers accept any leading axes: the input of the second feature layer has shape (rows, 4, 1),
# so each inner function is one input.

# %%
key_first, key_second, _ = jax.random.split(KEYS[7], 3)
first, second = (
    cosines(key_first, 15, "first"),
    cosines(key_second, 10, "second"),
)
inner = DenseReparameterization(15, 4, bias=False, name="inner")
out = DenseReparameterization(10, 1, bias=False, name="out")


def two_layers_model(x, y=None):
    h = inner(first(x))
    observe(out(second(h[..., None]).mean(-2)), y, scale=0.1)


scores["7 two layers"] = show(
    "Two layers of features",
    nuts(two_layers_model, KEYS[7], 200, 300, max_tree_depth=7),
)

# %% [markdown]
# ## The scores
#
# As on the first page, up to Monte Carlo error.

# %%
table(scores)
