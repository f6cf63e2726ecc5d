# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Which model? Three likelihoods of one data set
#
# Engel's data of 1857, which ships with statsmodels: the income of 235 Belgian households, and what
# they spent on food. Three models have the same straight line and differ in the noise: the same
# for all, the same for all with heavy tails, or growing with the income. Each is looked at before
# it sees the data, fitted, kept in a file, and compared with the others by ArviZ.

# %%
import tempfile
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import statsmodels.api as sm

from numpyro_bayeslayers.infer import MCMC, fit, load, prior
from numpyro_bayeslayers.layers import (
    FixedPriorLayer,
    InterceptLayer,
    gaussian_link,
    heteroscedastic_link,
    student_t_link,
)

plt.rcParams |= {
    "figure.dpi": 110,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
table = sm.datasets.engel.load_pandas().data
table = table / table.mean()  # in units of the mean household
x, y = table[["income"]] - 1, table["foodexp"]


# %% [markdown]
# ## Three models
#
# A link is a likelihood; `heteroscedastic_link` takes a second prediction, of the spread before a
# softplus.


# %%
def line(x):
    return InterceptLayer(dist.Normal(1.0, 1.0))("base") + FixedPriorLayer()(
        "slope", x
    )


def even(x, y=None):
    return gaussian_link(line(x), y)


def heavy(x, y=None):
    return student_t_link(line(x), y)


def fan(x, y=None):
    level = InterceptLayer(dist.Normal(-2.0, 1.0))("spread_base")
    return heteroscedastic_link(
        line(x), level + FixedPriorLayer()("spread_slope", x), y
    )


models = {"even": even, "heavy tails": heavy, "fan": fan}

# %% [markdown]
# ## Before the data
#
# What would the models observe? `prior` draws it, with the summaries of a prediction, and compares
# the data with it. All three reach them; they leave far more room than is needed.

# %%
for name, model in models.items():
    drawn = prior(model, x=x, y=y)
    low, high = np.mean(drawn.quantiles((0.05, 0.95)), axis=1)
    beyond = drawn.reach.beyond
    print(
        f"{name}: 90% of draws in {low:.1f} to {high:.1f}, {beyond:.0%} beyond"
    )

# %% [markdown]
# ## Fit, and keep
#
# Two chains each, in a file each. A file holds draws, data and columns, and no code: whoever reads
# it hands the model over.

# %%
folder = Path(tempfile.mkdtemp())
chains = MCMC(num_warmup=300, num_samples=500, num_chains=2)
for name, model in models.items():
    fit(model, y=y, x=x, method=chains, progress_bar=False).save(folder / name)

kept = {name: load(folder / name, model) for name, model in models.items()}
kept["fan"].summary()[["mean", "5%", "95%", "n_eff", "r_hat"]]

# %% [markdown]
# The bands of new observations. All three hold nine in ten households, but the first two are too
# wide for poor ones and too narrow for rich ones. The richest, with five times the mean income and
# three times the mean food, is out of the picture.

# %%
figure, panels = plt.subplots(
    1, 3, figsize=(8, 2.8), sharey=True, layout="constrained"
)
order = np.argsort(x["income"].to_numpy())
for ax, (name, found) in zip(panels, kept.items(), strict=True):
    low, high = found.predict(x=x).quantiles((0.05, 0.95))
    inside = np.mean((low <= y.to_numpy()) & (y.to_numpy() <= high))
    ax.fill_between(
        table["income"].iloc[order], low[order], high[order], alpha=0.25
    )
    ax.plot(table["income"], y, ".", ms=3, color="0.3")
    ax.set(
        title=f"{name}: {inside:.0%} inside",
        xlabel="income",
        xlim=(0.3, 3),
        ylim=(0, 4),
    )
_ = panels[0].set_ylabel("spent on food")

# %% [markdown]
# ## Compare
#
# `to_arviz` has the draws, the log likelihood of each household and new observations at each of
# them, under names that ArviZ knows.

# %%
trees = {name: found.to_arviz() for name, found in kept.items()}
az.summary(trees["fan"], kind="stats")

# %% [markdown]
# Leave-one-out: how well does each model predict a household from the others? The sum of the log
# densities is an estimate that needs no further fit (Vehtari, Gelman and Gabry 2017), if no
# household matters too much for it, which the Pareto shapes tell.

# %%
az.loo(trees["fan"])

# %%
table_of_models = az.compare(trees)
table_of_models[["rank", "elpd_loo", "p_loo", "elpd_diff", "dse", "warning"]]

# %% [markdown]
# The fan is better than the others by over three standard errors of the difference (`dse`). Heavy
# tails are the better of the two wrong answers: they call the rich households outliers. The even
# noise has neither word for them: one household has so much weight there that its Pareto shape is
# too large, which the warning says, and an effective number of parameters (`p_loo`) far above the
# three that there are.

# %%
best = table_of_models.iloc[0]
others = table_of_models.iloc[1:]
assert best.name == "fan"
assert (others["elpd_diff"] > 3 * others["dse"]).all()
figure, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
_ = az.plot_compare(table_of_models, ax=ax)

# %% [markdown]
# Do new data look like the data? Each line is a new set of 235 households.

# %%
figure, panels = plt.subplots(
    1, 3, figsize=(8, 2.6), sharey=True, layout="constrained"
)
for ax, (name, tree) in zip(panels, trees.items(), strict=True):
    az.plot_ppc(
        tree, ax=ax, num_pp_samples=50, random_seed=0, legend=False, textsize=8
    )
    ax.set(title=name, xlabel="spent on food", xlim=(-0.3, 3))

# %% [markdown]
# The first two draw households that spend next to nothing on food, where there are none; the fan
# ends where the data end. The rest of the margins is much alike: pictures of all households
# together hide what the bands show, and models are compared household by household. (`plot_ppc` is
# `plot_ppc_dist` in ArviZ 1.)
