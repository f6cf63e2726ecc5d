# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Master class 3: declared
#
# The same seven regressions with any deterministic architecture: an Equinox module, or one of
# your own. Read this page if you have an existing module. `lift` takes the module and a table
# that maps patterns of paths to priors. A distribution is a prior, `None` keeps a parameter
# fixed, and a constraint makes it an optimized parameter. A parameter that is not in the
# table, or a pattern that matches nothing, raises an error.

# %%
import math
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from _master_class import (
    KEYS,
    STARTS,
    X_TEST,
    Fitted,
    X,
    Y,
    frozen,
    nuts,
    show,
    table,
)
from numpyro.distributions import constraints

from numpyro_bayeslayers.infer import Ensemble, fit
from numpyro_bayeslayers.layers import gaussian_link, lift

scores = {}
NORMAL = dist.Normal(0, 1)


def observe(f, y, scale=1.0):
    f = numpyro.deterministic("f", f)
    gaussian_link(
        f, y, "y", sigma_dist=dist.HalfNormal, sigma_kwargs={"scale": scale}
    )


# %% [markdown]
# ## 1. A line

# %%
line = lift(eqx.nn.Linear(1, "scalar", key=KEYS[1]), {"*": NORMAL}, name="line")
line_model = lambda x, y=None: observe(line(x), y)
scores["1 line"] = show("A line", nuts(line_model, KEYS[1]))

# %% [markdown]
# ## 2. A network at its posterior mode
#
# `net(x)` samples the sites (`net.layers.0.weight`) and maps the module, which takes single
# examples, over the rows. `fit` takes guides by name; the delta guide gives the mode.
#
# The members of an `Ensemble` start at draws from the prior. For weights, this makes the
# members differ. For the noise, a draw may be a ten-thousandth; the initial loss is then in
# the billions and the member never recovers, so `init` starts the noise at one half. `fit`
# warns that a few losses are still decreasing: the optimizer moves slowly along ridges of the
# posterior, a few nats in thousands of steps, long after the curve has stopped changing.


# %%
def network(width, key):
    module = eqx.nn.MLP(1, "scalar", width, 1, activation=jnp.tanh, key=key)
    return lift(module, {"*.weight": NORMAL, "*.bias": NORMAL}, name="net")


def variational(model, key, guide, num_draws=200):
    start = time.perf_counter()
    key_run, key_predict = jax.random.split(key)
    method = Ensemble(guide=guide, optim=0.05, num_members=STARTS)
    how = {"num_steps": 4000, "init": {"y.sigma": 0.5}, "progress_bar": False}
    found = fit(model, y=Y, x=X, method=method, seed=key_run, **how)
    num_samples = STARTS * num_draws
    draws = found.predict(
        x=X_TEST, num_samples=num_samples, seed=key_predict
    ).samples
    draws = np.asarray(draws).reshape(num_draws, STARTS, len(X_TEST))
    return Fitted(draws.swapaxes(0, 1), time.perf_counter() - start)


net_30 = network(30, KEYS[2])
network_model = lambda x, y=None: observe(net_30(x), y)
scores["2 network, mode"] = show(
    "A network at its mode", variational(network_model, KEYS[2], "delta")
)

# %% [markdown]
# ## 3. The same with dropout in prediction
#
# Equinox has a module for dropout. The key passed to the call is split, so each row has its
# own mask.

# %%
key_hidden, key_out = jax.random.split(KEYS[3])
modules = [
    eqx.nn.Linear(1, 30, key=key_hidden),
    eqx.nn.Lambda(jnp.tanh),
    eqx.nn.Dropout(0.1),
    eqx.nn.Linear(30, "scalar", key=key_out),
]
thinned = lift(eqx.nn.Sequential(modules), {"*": NORMAL}, name="net")


def dropout_model(x, y=None):
    observe(thinned(x, key=numpyro.prng_key()), y)


scores["3 dropout, mode"] = show(
    "Dropout at the mode",
    variational(dropout_model, KEYS[3], "delta", num_draws=100),
)

# %% [markdown]
# ## 4. A network, by its posterior

# %%
net_15 = network(15, KEYS[4])
small_network_model = lambda x, y=None: observe(net_15(x), y)
scores["4 network, NUTS"] = show(
    "A network by NUTS", nuts(small_network_model, KEYS[4])
)

# %% [markdown]
# ## 5. Fixed random features
#
# A custom module, and a table that fixes everything but the readout.


# %%
class Cosines(eqx.Module):
    W: jax.Array
    b: jax.Array
    lengthscale: jax.Array

    def __call__(self, x, *, key=None):
        z = x @ self.W / self.lengthscale + self.b
        return math.sqrt(2 / self.b.size) * jnp.cos(z)


def cosines(key, number):
    return Cosines(*frozen(key, number), jnp.ones(()))


features = cosines(KEYS[5], 40)
readout = eqx.nn.Linear(40, "scalar", use_bias=False, key=KEYS[5])
both = eqx.nn.Sequential([features, readout])
net = lift(both, {"layers.1.weight": NORMAL, "*": None}, name="net")
features_model = lambda x, y=None: observe(net(x), y)
scores["5 features"] = show(
    "Frozen features", nuts(features_model, KEYS[5], dense_mass=True)
)

# %% [markdown]
# Other guides have names too. The posterior of the weights is nearly normal but strongly
# correlated, so use a full-rank normal guide.

# %%
_ = show(
    "Full-rank normal guide", variational(features_model, KEYS[5], "full_rank")
)

# %% [markdown]
# ## 6. The same with a learned amplitude
#
# A prior may depend on other sites; in this case, call `lift` inside the model. This costs
# nothing, because `lift` only reads the table.


# %%
def amplitude_model(x, y=None):
    amplitude = numpyro.sample("amplitude", dist.HalfNormal(1))
    priors = {"layers.1.weight": dist.Normal(0, amplitude), "*": None}
    observe(lift(both, priors, name="net")(x), y, scale=0.1)


scores["6 amplitude"] = show(
    "Amplitude learned", nuts(amplitude_model, KEYS[6], dense_mass=True)
)

# %% [markdown]
# A lifted `eqx.nn.Linear` with normal priors has `marginal` and `condition`, as dense layers
# do: the weights are integrated out exactly.


# %%
def hyperparameters():
    amplitude = numpyro.sample("amplitude", dist.HalfNormal(1))
    linear = lift(
        readout, {"weight": dist.Normal(0, amplitude)}, name="readout"
    )
    return linear, numpyro.sample("sigma", dist.HalfNormal(0.1))


def collapsed_model(x, y=None, features=features):
    linear, sigma = hyperparameters()
    numpyro.sample("y", linear.marginal(jax.vmap(features)(x), sigma), obs=y)


def predict(x, features=features):
    linear, sigma = hyperparameters()
    posterior = linear.condition(jax.vmap(features)(X), Y, sigma)
    numpyro.sample("y", posterior.marginal(jax.vmap(features)(x), sigma))


scores["6 amplitude, weights integrated out"] = show(
    "Weights integrated out", nuts(collapsed_model, KEYS[6], predict=predict)
)

# %% [markdown]
# The lengthscale was fixed at 1. A constraint in the table makes it a positive optimized
# parameter, initialized with the module's value. `draw` returns the module itself, which can
# be used like any Equinox module. With the weights integrated out, this is maximum marginal
# likelihood (type II maximum likelihood).

# %%
free = lift(
    features, {"lengthscale": constraints.positive, "*": None}, name="phi"
)
free_model = lambda x, y=None: collapsed_model(x, y, features=free.draw())
guide = numpyro.infer.autoguide.AutoDelta(free_model)
svi = numpyro.infer.SVI(
    free_model, guide, optax.adam(2e-2), numpyro.infer.Trace_ELBO()
)
params = svi.run(KEYS[6], 500, X, Y, progress_bar=False).params
{name: round(float(value), 3) for name, value in params.items()}

# %% [markdown]
# ## 7. Features of features
#
# A module maps another module over the inner functions and averages; the rest is
# `equinox.nn.Sequential`.


# %%
class Averaged(eqx.Module):
    module: eqx.Module

    def __call__(self, x, *, key=None):
        return jax.vmap(self.module)(x[:, None]).mean(0)


key_first, key_second, key_linear = jax.random.split(KEYS[7], 3)
modules = [
    cosines(key_first, 15),
    eqx.nn.Linear(15, 4, use_bias=False, key=key_linear),
    Averaged(cosines(key_second, 10)),
    eqx.nn.Linear(10, "scalar", use_bias=False, key=key_linear),
]
two_layers = lift(
    eqx.nn.Sequential(modules), {"*.weight": NORMAL, "*": None}, name="net"
)
two_layers_model = lambda x, y=None: observe(two_layers(x), y, scale=0.1)
scores["7 two layers"] = show(
    "Two layers of features",
    nuts(two_layers_model, KEYS[7], 200, 300, max_tree_depth=7),
)

# %% [markdown]
# ## The scores
#
# As on the other two pages, up to Monte Carlo error.

# %%
table(scores)
