# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Random features in pictures
#
# This tutorial shows functions drawn from the priors of the feature layers, the error of their
# kernels, and a regression with the weights integrated out. Read it to choose a feature layer.
# The page is executed at each build.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.handlers import seed, substitute
from numpyro.infer import MCMC, NUTS, Predictive

from numpyro_bayeslayers.layers import (
    ArcCosineFourierFeatures,
    HSGPFeatures,
    LaplaceFourierFeatures,
    MaternFourierFeatures,
    MaternKernel,
    PeriodicKernel,
    RandomKitchenSinks,
    RBFFourierFeatures,
    RBFKernel,
)

plt.rcParams |= {
    "figure.dpi": 110,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

# %% [markdown]
# ## Functions of one input
#
# Four draws from each prior, at lengthscale 1. The distribution of the frequencies determines
# the smoothness of a function; the feature map determines whether it is stationary.


# %%
def draws(layer, x, lengthscale, number=4):
    """Draws of a readout of `layer`, or of a Hilbert-space process."""
    if isinstance(layer, HSGPFeatures):
        model, data = layer, {}
    else:
        model = RandomKitchenSinks.init(layer, 1, name="f")
        data = {
            "f.phi.lengthscale": jnp.asarray(lengthscale),
            "f.bias": jnp.zeros(1),
        }

    def draw(key):
        return seed(substitute(model, data=data), key)(x).reshape(len(x))

    return jax.vmap(draw)(jax.random.split(jax.random.key(4), number))


x = jnp.linspace(-5, 5, 400)[:, None]
priors = {
    "RBF": RBFFourierFeatures(1, 500, name="phi"),
    "Matérn 3/2": MaternFourierFeatures(1, 500, name="phi"),
    "Laplace (Matérn 1/2)": LaplaceFourierFeatures(1, 500, name="phi"),
    "periodic, period 4": HSGPFeatures.init(
        1, 15, 1.0, kernel=PeriodicKernel(1.0, 0.8, 4.0), name="g"
    ),
    "arc-cosine, order 0": ArcCosineFourierFeatures.init(
        2, 500, order=0, name="phi"
    ),
    "arc-cosine, order 1": ArcCosineFourierFeatures.init(
        2, 500, order=1, name="phi"
    ),
}
figure, axes = plt.subplots(
    2, 3, figsize=(9, 4.4), sharex=True, layout="constrained"
)
for ax, (title, layer) in zip(axes.flat, priors.items(), strict=True):
    # A constant second input stands for a bias inside of the arc-cosine features.
    inputs = x if layer.in_features == 1 else jnp.hstack([x, jnp.ones_like(x)])
    ax.plot(x[:, 0], draws(layer, inputs, 1.0).T, lw=1)
    ax.set_title(title, fontsize=10)
for ax in axes[1]:
    ax.set_xlabel("x")

# %% [markdown]
# ## Functions of two inputs
#
# One draw each. The frequencies of the exponential kernel have a two-dimensional Cauchy
# distribution. With independent Cauchy variables for each coordinate, the third picture would
# show ridges along the axes.

# %%
side = np.linspace(-3, 3, 90)
grid = jnp.asarray(
    np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), jnp.float32
)
two = {
    "RBF": RBFFourierFeatures(2, 1000, name="phi"),
    "Matérn 3/2": MaternFourierFeatures(2, 1000, name="phi"),
    "Laplace (Matérn 1/2)": LaplaceFourierFeatures(2, 1000, name="phi"),
}
figure, axes = plt.subplots(
    1, 3, figsize=(9, 3.2), layout="constrained", sharey=True
)
for ax, (title, layer) in zip(axes, two.items(), strict=True):
    surface = draws(layer, grid, 1.0, number=1).reshape(90, 90)
    image = ax.imshow(
        surface,
        extent=(-3, 3, -3, 3),
        origin="lower",
        cmap="RdBu_r",
        vmin=-2.5,
        vmax=2.5,
    )
    ax.set(title=title, xlabel="$x_1$")
axes[0].set_ylabel("$x_2$")
_ = figure.colorbar(image, ax=axes, shrink=0.8)

# %% [markdown]
# ## The kernel, exact and approximate
#
# Inner products of features against distance: one draw of 50 and of 1000 frequencies in three
# dimensions (paired cosines and sines, which are exact at distance zero), and Hilbert-space
# features of one input, which are deterministic.

# %%
distance = np.linspace(0, 4, 80)
direction = np.array([1.0, 2.0, -1.0]) / np.sqrt(6)
rows = jnp.asarray(np.outer(distance, direction), jnp.float32)
exact = {
    "RBF": np.exp(-0.5 * distance**2),
    "Matérn 3/2": (1 + np.sqrt(3) * distance) * np.exp(-np.sqrt(3) * distance),
    "Laplace (Matérn 1/2)": np.exp(-distance),
}
classes = [RBFFourierFeatures, MaternFourierFeatures, LaplaceFourierFeatures]
kernels = [
    RBFKernel(1.0, 1.0),
    MaternKernel(1.0, 1.0, 1.5),
    MaternKernel(1.0, 1.0, 0.5),
]
figure, axes = plt.subplots(
    1, 3, figsize=(9, 3), layout="constrained", sharey=True
)
for ax, (title, curve), features, kernel in zip(
    axes, exact.items(), classes, kernels, strict=True
):
    ax.plot(distance, curve, "k", lw=2.5, alpha=0.35, label="exact")
    for count in (50, 1000):
        layer = features(3, count, name="phi")
        fixed = substitute(layer, data={"phi.lengthscale": jnp.ones(())})
        phi = seed(fixed, 2)(rows)
        ax.plot(distance, phi @ phi[0], lw=1, label=f"{count} frequencies")
    process = HSGPFeatures.init(1, 32, 5.0, kernel=kernel, name="g")
    line = jnp.asarray(distance - 2, jnp.float32)[:, None]
    factor = seed(process.marginal, 0)(line, 1.0).cov_factor
    ax.plot(distance, factor @ factor[0], "--", lw=1, label="HSGP, M = 32")
    ax.set(title=title, xlabel="distance")
axes[0].set_ylabel("kernel")
_ = axes[0].legend(fontsize=8, frameon=False)

# %% [markdown]
# ## A regression with the weights integrated out
#
# `layer.marginal(x, sigma)` is the distribution of the observations with the weights
# integrated out, so NUTS samples three hyperparameters instead of 33 variables. For each draw,
# `layer.condition(x, y, sigma)` is the exact posterior of the weights, and its `marginal` the
# predictive distribution.

# %%
key = jax.random.key(0)
x_train = jnp.sort(jax.random.uniform(key, (40,), minval=-1.0, maxval=1.0))[
    :, None
]
x_train = x_train[(x_train[:, 0] < -0.1) | (x_train[:, 0] > 0.35)]
noise = 0.2 * jax.random.normal(jax.random.key(1), (len(x_train),))
y_train = jnp.sin(5 * x_train[:, 0]) + noise
process = HSGPFeatures.init(1, 30, 1.6, kernel=MaternKernel(), name="f")


def model(x, y):
    sigma = numpyro.sample("sigma", dist.HalfNormal(0.5))
    numpyro.sample("y", process.marginal(x, sigma), obs=y)


mcmc = MCMC(NUTS(model), num_warmup=300, num_samples=300, progress_bar=False)
mcmc.run(jax.random.key(2), x_train, y_train)
mcmc.print_summary()


# %%
def predict(x, y, x_new):
    sigma = numpyro.sample("sigma", dist.HalfNormal(0.5))
    posterior = process.condition(x, y, sigma)
    numpyro.sample("y_new", posterior.marginal(x_new, sigma))


x_new = jnp.linspace(-1.2, 1.2, 120)[:, None]
predictive = Predictive(predict, mcmc.get_samples())
samples = predictive(jax.random.key(3), x_train, y_train, x_new)["y_new"]
low, middle, high = np.quantile(samples, [0.05, 0.5, 0.95], axis=0)
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.fill_between(
    x_new[:, 0], low, high, alpha=0.25, label="90% of new observations"
)
ax.plot(x_new[:, 0], middle, label="median")
ax.plot(x_new[:, 0], np.sin(5 * x_new[:, 0]), "k--", lw=1, label="truth")
ax.plot(x_train[:, 0], y_train, "k.", ms=4, label="data")
ax.set(xlabel="x", ylabel="y", ylim=(-1.7, 2.2))
_ = ax.legend(fontsize=8, ncols=4, frameon=False, loc="upper center")
