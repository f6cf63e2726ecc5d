# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # One network for many signals
#
# This tutorial trains networks whose output depends on a context: a hypernetwork that fits a
# family of waves and interpolates between them, and a sinusoidal network that represents two
# images, selected by the context.

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_sample_images

from numpyro_bayeslayers.layers import SIREN, ConditionedINR, FiLM, HyperSIREN

plt.rcParams |= {
    "figure.dpi": 110,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def train(net, loss, steps, rate):
    """Adam on the arrays of a module, as one program."""
    arrays, rest = eqx.partition(net, eqx.is_inexact_array)
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def step(carry, _):
        arrays, state = carry
        value, grads = jax.value_and_grad(lambda a: loss(eqx.combine(a, rest)))(
            arrays
        )
        updates, state = optimizer.update(grads, state)
        return (optax.apply_updates(arrays, updates), state), value

    start = (arrays, optimizer.init(arrays))
    (arrays, _), losses = jax.jit(lambda c: jax.lax.scan(step, c, None, steps))(
        start
    )
    return eqx.combine(arrays, rest), losses


# %% [markdown]
# ## A family of waves
#
# The data are eight waves $\sin(2 \pi f x)$ with frequencies from 1 to 2.4; the context is the
# frequency. `HyperSIREN` generates all weights of a sinusoidal network from the context. Here
# they are affine in it (the latent context consists of a tenth of the frequency and a one),
# with a weak initial dependence. This is smooth enough to interpolate to the frequencies
# halfway between, which are held out. Without the factor of a tenth, or with a deep
# `parameter_net`, the eight waves are fitted equally well, but the waves between them are
# wrong.

# %%
x = jnp.linspace(-1, 1, 128)[:, None]
seen = jnp.linspace(1.0, 2.4, 8)
held_out = (seen[:-1] + seen[1:]) / 2


def context(frequency):
    return jnp.atleast_1d((frequency - 1.7) / 0.5)


waves = HyperSIREN(
    1,
    32,
    1,
    depth=3,
    cond_dim=2,
    parameter_net=lambda mu: jnp.concatenate([jnp.ones(1), 0.1 * mu]),
    key=jax.random.key(1),
    first_omega=10.0,
    hidden_omega=10.0,
    init_scale=1.0,
)


def wave_error(net, frequencies):
    found = jax.vmap(lambda f: net(x, context(f))[:, 0])(frequencies)
    truth = jnp.sin(2 * jnp.pi * frequencies[:, None] * x[:, 0])
    return jnp.mean((found - truth) ** 2)


waves, losses = train(waves, lambda net: wave_error(net, seen), 1000, 2e-3)
errors = [float(jnp.sqrt(wave_error(waves, f))) for f in (seen, held_out)]
print(f"root mean square error: {errors[0]:.3f} seen, {errors[1]:.3f} held out")

# %%
figure, axes = plt.subplots(
    1, 3, figsize=(9, 2.6), sharey=True, layout="constrained"
)
for ax, frequency in zip(axes, held_out[jnp.array([0, 3, 6])], strict=True):
    ax.plot(
        x,
        jnp.sin(2 * jnp.pi * frequency * x),
        "k",
        lw=3,
        alpha=0.25,
        label="truth",
    )
    ax.plot(x, waves(x, context(frequency)), lw=1.2, label="HyperSIREN")
    ax.set(title=f"f = {frequency:.2f}, held out", xlabel="x")
_ = axes[0].legend(fontsize=8, frameon=False, loc="upper left")

# %% [markdown]
# ## Two images in one network
#
# The data are the two photographs that come with scikit-learn, 48 by 64 pixels in gray. One
# sinusoidal network learns both. The scale and shift of its features (FiLM) depend on the
# context, which is 0 for one image and 1 for the other. Contexts between 0 and 1 were not
# trained: their output is a mixture of features, not a photograph.

# %%
images = []
for image in load_sample_images().images:
    gray = image[:420, :].mean(-1) / 127.5 - 1
    images.append(gray[: 48 * 8, : 64 * 10].reshape(48, 8, 64, 10).mean((1, 3)))
pixels = jnp.asarray(np.stack(images), jnp.float32)
sides = [np.linspace(-1, 1, n) for n in pixels.shape[1:]]
places = jnp.asarray(
    np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 2)
)
places = places.astype(jnp.float32)
keys = jax.random.split(jax.random.key(2))
inner = SIREN.init(
    2, 96, 1, depth=4, key=keys[0], first_omega=20.0, hidden_omega=20.0
)
photographs = ConditionedINR.init(
    inner, conditioner_cls=FiLM, cond_dim=1, key=keys[1], gamma_activation="exp"
)


def drawn(net, t):
    return net(places, jnp.full(1, t))[:, 0].reshape(pixels.shape[1:])


def image_error(net):
    both = jnp.stack([drawn(net, 0.0), drawn(net, 1.0)])
    return jnp.mean((both - pixels) ** 2)


photographs, losses = train(photographs, image_error, 250, 1e-3)
ratio = 10 * np.log10(4 / float(image_error(photographs)))
print(f"peak signal-to-noise ratio: {ratio:.1f} dB")

# %%
shown = {
    "image 0": pixels[0],
    "context 0": drawn(photographs, 0.0),
    "context 0.5": drawn(photographs, 0.5),
    "context 1": drawn(photographs, 1.0),
    "image 1": pixels[1],
}
figure, axes = plt.subplots(1, 5, figsize=(10, 1.8), layout="constrained")
for ax, (title, image) in zip(axes, shown.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=-1, vmax=1)
    ax.set_title(title, fontsize=9)
    ax.axis("off")
