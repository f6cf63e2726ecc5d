# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A field on a surface
#
# This tutorial writes a model with a Bayesian neural field and fits it by an ensemble of
# posterior modes. The data are three years of weekly values along a line of stations, with a
# gap in the record and a half-year forecast. The page is executed at each build.

# %%
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.handlers import seed, substitute

from numpyro_bayeslayers.distributions import EnsembleMixture
from numpyro_bayeslayers.infer import (
    EnsembleMAP,
    ensemble_predict,
    log_joint_of,
)
from numpyro_bayeslayers.layers import BayesianNeuralField

plt.rcParams |= {
    "figure.dpi": 110,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

# %% [markdown]
# ## The data
#
# The truth is the sum of a yearly wave whose amplitude grows along the line, a quarterly wave
# whose amplitude decreases, and a moving bump. It is observed with noise at 21 stations. For
# nine months, neighboring stations have no values; there are no data after week 130.


# %%
def surface(week, place):
    year = (0.4 + place) * np.sin(2 * np.pi * week / 52)
    quarter = 0.5 * (1 - place) * np.cos(2 * np.pi * week / 13)
    bump = 1.5 * np.exp(-(((place - 0.15 - 0.005 * week) / 0.15) ** 2))
    return year + quarter + bump


WEEKS, LAST = 156, 130
noise = 0.2
weeks, stations = (
    np.arange(WEEKS, dtype=np.float32),
    np.linspace(0, 1, 21, dtype=np.float32),
)
week, station = (a.ravel() for a in np.meshgrid(weeks, stations, indexing="ij"))
silent = (week >= 45) & (week < 85) & (station > 0.52) & (station < 0.88)
seen = ~silent & (week < LAST)

x_all = np.stack([week, station], axis=1)
truth = surface(week, station).astype(np.float32)
measured = truth + noise * np.random.default_rng(0).normal(
    size=truth.shape
).astype(np.float32)
x, y = x_all[seen], measured[seen]

# %% [markdown]
# ## The model
#
# The field takes the raw week, which the seasonal features need; the scales of the columns are
# an argument. Periods are in weeks.

# %%
field = BayesianNeuralField(
    input_scales=[WEEKS, 1.0],
    fourier_degrees=[0, 2],
    interactions=[(0, 1)],
    seasonality_periods=[52.0, 13.0],
    num_seasonal_harmonics=[2, 1],
    width=24,
    depth=2,
    name="field",
)


def model(x, y=None):
    mean = field(x)
    scale = 0.01 + jnp.exp(
        numpyro.sample("log_scale", dist.Logistic(-1.0, 1.0))
    )
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(mean, scale), obs=y)


# %% [markdown]
# ## The fit
#
# We find sixteen modes of the posterior from sixteen starting points. Away from the data the
# members disagree, and their disagreement widens the prediction intervals.

# %%
steps = 1000
init_fn, log_joint = log_joint_of(model, x[:2], y[:2])
optimizer = optax.adam(optax.cosine_decay_schedule(0.02, steps))
ensemble = EnsembleMAP(log_joint, init_fn, optimizer, ensemble_size=16)
result = ensemble.run(0, steps, x, y, progress_bar=False)


def predict(params, x):
    return seed(substitute(field, params), 0)(x)


means = ensemble_predict(result.params, predict, x_all)
scales = 0.01 + jnp.exp(result.params["log_scale"])[:, None]
prediction = EnsembleMixture(dist.Normal(means, scales))
low, high = (prediction.icdf(q) for q in (0.025, 0.975))

for what, rows in {"silent stretch": silent, "forecast": week >= LAST}.items():
    inside = np.mean(
        (measured[rows] > low[rows]) & (measured[rows] < high[rows])
    )
    error = np.sqrt(np.mean((prediction.mean - truth)[rows] ** 2))
    print(f"{what}: error of the mean {error:.2f}")
    print(f"{what}: {inside:.0%} of values in the 95% interval")

# %% [markdown]
# ## Mean and width
#
# The width is that of the central 95% prediction interval. It is close to the noise level near
# the data, and larger in the gap and after the last week.

# %%
panels = {
    "truth": (truth, "RdBu_r", (-2.5, 2.5)),
    "measured": (np.where(seen, measured, np.nan), "RdBu_r", (-2.5, 2.5)),
    "predictive mean": (prediction.mean, "RdBu_r", (-2.5, 2.5)),
    "width of the 95% interval": (high - low, "viridis", (0.5, None)),
}
figure, axes = plt.subplots(
    2, 2, figsize=(9, 5), sharex=True, sharey=True, layout="constrained"
)
for axis, (title, (values, colors, (least, most))) in zip(
    axes.flat, panels.items(), strict=True
):
    grid = np.asarray(values).reshape(WEEKS, len(stations)).T
    picture = axis.pcolormesh(
        weeks, stations, grid, cmap=colors, vmin=least, vmax=most
    )
    axis.set_title(title, fontsize=10)
    axis.axvline(LAST - 0.5, color="0.3", linewidth=0.8, linestyle="--")
    figure.colorbar(picture, ax=axis)
figure.supxlabel("week")
figure.supylabel("place")
plt.show()

# %% [markdown]
# ## One station
#
# A station with a gap in the record, and one without.

# %%
figure, axes = plt.subplots(
    2, 1, figsize=(9, 5), sharex=True, layout="constrained"
)
for axis, place in zip(axes, (14, 4), strict=True):
    rows = station == stations[place]
    axis.fill_between(
        weeks, low[rows], high[rows], color="tab:blue", alpha=0.2, linewidth=0
    )
    axis.plot(
        weeks,
        prediction.mean[rows],
        color="tab:blue",
        label="mean and 95% interval",
    )
    axis.plot(
        weeks,
        truth[rows],
        color="0.2",
        linewidth=1,
        linestyle="--",
        label="truth",
    )
    known = rows & seen
    axis.plot(
        week[known],
        measured[known],
        ".",
        color="0.4",
        markersize=3,
        label="measured",
    )
    axis.set_title(f"place {stations[place]:.2f}", fontsize=10)
    axis.set_ylabel("value")
axes[0].legend(frameon=False, ncols=3, fontsize=9)
axes[1].set_xlabel("week")
plt.show()
