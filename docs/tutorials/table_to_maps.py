# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # From a table to maps
#
# This tutorial turns a file of measurements, with a row for each place and week, into maps:
# predictions with intervals at any place and time. No model has to be written; the field
# estimators of `numpyro_bayeslayers.estimators` take the data frame directly. The page is
# executed at each build.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import YearLocator

from numpyro_bayeslayers.estimators import BayesianNeuralFieldMAP
from numpyro_bayeslayers.metrics import (
    interval_coverage,
    root_mean_squared_error,
)

plt.rcParams |= {
    "figure.dpi": 110,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

# %% [markdown]
# ## The file
#
# The data are water levels of forty wells, simulated so that the truth is known. The level is
# the sum of a spatial pattern, a yearly wave that is higher in the north and later in the
# east, a slow decline in the south-west, and one wet year. A tenth of the weeks are missing,
# and four wells have no data from the summer of 2020 on.


# %%
def level(date, east, north):
    """Meters above sea level, so many kilometers from the south-western corner."""
    years = (
        np.asarray(date, "datetime64[D]") - np.datetime64("2018-01-01")
    ).astype(float) / 365
    relief = 100 + 0.05 * north + 2 * np.sin(np.pi * east / 80)
    wave = (0.5 + 0.02 * north) * np.sin(2 * np.pi * (years - 0.1 - east / 400))
    fall = -0.5 * years * np.exp(-(east**2 + north**2) / (2 * 30**2))
    wet = 1.2 * np.exp(-((years - 2.6) ** 2) / (2 * 0.3**2))
    return relief + wave + fall + wet


rng = np.random.default_rng(1)
weeks = pd.date_range("2018-01-01", "2021-12-27", freq="W-MON")
wells = pd.DataFrame(
    {"east": rng.uniform(0, 80, 40), "north": rng.uniform(0, 60, 40)}
)
rows = pd.DataFrame({"date": weeks}).merge(
    wells.rename_axis("well").reset_index(), how="cross"
)
rows["truth"] = level(rows["date"], rows["east"], rows["north"])
rows["level"] = (rows["truth"] + rng.normal(0, 0.25, len(rows))).round(2)

SILENT, NOISE = [3, 11, 19, 27], 0.25
unseen = rows["well"].isin(SILENT) & (rows["date"] >= "2020-07-01")
gaps = rng.random(len(rows)) < 0.1
path = Path(tempfile.mkdtemp()) / "wells.csv"
table = rows[~unseen].drop(columns="truth")
table.loc[gaps[~unseen], "level"] = np.nan
table.to_csv(path, index=False)
print(pd.read_csv(path).head(3))

# %% [markdown]
# ## The fit
#
# Columns are given by name: first the time, then the place. `freq` is the unit of time, here
# weeks, so the period `"Y"` is 52.1775. Eight members are trained at once. Rows without a
# level are left out, and a warning reports their number.

# %%
table = pd.read_csv(path, parse_dates=["date"])
field = BayesianNeuralFieldMAP(
    feature_cols=["date", "east", "north"],
    target_col="level",
    freq="W",
    seasonality_periods=["Y"],
    num_seasonal_harmonics=[2],
    standardize=["east", "north"],
    interactions=[(0, 1), (0, 2), (1, 2)],
    fourier_degrees=[3, 1, 1],
    width=32,
)
field.fit(
    table,
    seed=0,
    ensemble_size=8,
    num_epochs=60,
    learning_rate=0.01,
    batch_size=256,
    progress_bar=False,
)
print(field.losses_.shape)  # members, steps

# %% [markdown]
# ## Wells without recent data
#
# The predictive distribution is the mixture of the members, and its quantiles are exact. They
# describe a new measurement, noise included. Black points were in the table; white points are
# held-out measurements.

# %%
LEVELS = (0.025, 0.5, 0.975)
fig, axes = plt.subplots(
    2, 2, figsize=(9, 5), sharex=True, layout="constrained"
)
for ax, well in zip(axes.flat, SILENT, strict=True):
    here = rows[rows["well"] == well]
    mean, (low, median, high) = field.predict(here, quantiles=LEVELS)
    known = table[table["well"] == well]
    late = here[here["date"] >= "2020-07-01"]
    ax.fill_between(
        here["date"], low, high, color="C0", alpha=0.25, lw=0, label="95%"
    )
    ax.plot(here["date"], median, "C0", label="median")
    ax.plot(here["date"], here["truth"], "C1--", lw=1, label="truth")
    ax.plot(known["date"], known["level"], "k.", ms=2.5, label="measured")
    ax.plot(
        late["date"],
        late["level"],
        "o",
        mfc="w",
        mec="k",
        ms=3,
        mew=0.5,
        label="held out",
    )
    east, north = here["east"].iloc[0], here["north"].iloc[0]
    ax.set_title(f"well {well}: {east:.0f} km E, {north:.0f} km N", fontsize=9)
    ax.xaxis.set_major_locator(YearLocator())
axes[0, 0].set_ylabel("level (m)")
axes[1, 0].set_ylabel("level (m)")
fig.legend(
    *ax.get_legend_handles_labels(),
    fontsize=8,
    ncols=5,
    loc="outside lower center",
)
plt.show()

# %%
test = rows[unseen]
mean, (low, median, high) = field.predict(test, quantiles=LEVELS)
error = root_mean_squared_error(test["level"].to_numpy(), mean)
coverage = interval_coverage(test["level"].to_numpy(), low, high)
print(f"{len(test)} unseen: error {error:.2f} m, noise {NOISE} m")
print(f"{coverage:.0%} of them in their 95% intervals")
assert error < 2 * NOISE
assert coverage > 0.8

# %% [markdown]
# ## Maps
#
# Each place and time is a row of a table. The first map shows the mean in a week of the wet
# year, the second the change from the same week two years before, and the third the width of
# the intervals of the level: narrow near the wells, wide in the corner without wells.

# %%
east, north = np.meshgrid(np.linspace(0, 80, 41), np.linspace(0, 60, 31))
places = pd.DataFrame({"east": east.ravel(), "north": north.ravel()})


def snapshot(date):
    mean, (low, high) = field.predict(
        places.assign(date=pd.Timestamp(date)), (0.025, 0.975)
    )
    return mean.reshape(east.shape), (high - low).reshape(east.shape)


before, _ = snapshot("2018-10-01")
now, width = snapshot("2020-10-05")
fig, axes = plt.subplots(
    1, 3, figsize=(11, 3), sharey=True, layout="constrained"
)
panels = [
    (now, "viridis", "level on 5 October 2020 (m)"),
    (now - before, "RdBu", "change since October 2018 (m)"),
    (width, "magma", "width of 95% intervals (m)"),
]
for ax, (values, colors, title) in zip(axes, panels, strict=True):
    limit = np.abs(values).max()
    bounds = {"vmin": -limit, "vmax": limit} if colors == "RdBu" else {}
    shown = ax.pcolormesh(
        east, north, values, cmap=colors, shading="gouraud", **bounds
    )
    ax.plot(wells["east"], wells["north"], "o", mfc="w", mec="k", ms=3, mew=0.6)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel("km east")
    ax.set_aspect("equal")
    fig.colorbar(shown, ax=ax, shrink=0.8)
axes[0].set_ylabel("km north")
plt.show()

# %% [markdown]
# ## Further options
#
# - `BayesianNeuralFieldVI` gives each member a normal posterior instead of a point, and
#   `BayesianNeuralFieldMLE` has no prior; their arguments are the same.
# - For counts, use `observation_model="NB"`, or `"ZINB"` for excess zeros. Quantiles are then
#   counts.
# - `field.likelihood_model(table)` is the members' distribution as a NumPyro distribution, for
#   densities and draws. `distributions.EnsembleMixture` of it separates the noise from the
#   disagreement of the members.
# - `preprocessing` has the steps from the table to arrays as functions, for your own model.
