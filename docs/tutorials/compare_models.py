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
# This tutorial compares three likelihoods on the same data: prior predictive checks, fits,
# saved files, and a comparison with ArviZ. The data are Engel's of 1857, which come with
# statsmodels: the income of 235 Belgian households and their expenditure on food. All three
# models have the same straight line and differ in the noise: constant (`even`), constant with
# heavy tails, or growing with the income (`fan`).

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
# A link is a likelihood. `heteroscedastic_link` takes a second prediction: the standard
# deviation before a softplus.


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
# ## Prior predictive checks
#
# `prior` samples the prior predictive distribution and compares it with the data. All three
# models cover the data; their priors are wider than necessary.

# %%
for name, model in models.items():
    drawn = prior(model, x=x, y=y)
    low, high = np.mean(drawn.quantiles((0.05, 0.95)), axis=1)
    beyond = drawn.reach.beyond
    print(
        f"{name}: 90% of draws in {low:.1f} to {high:.1f}, {beyond:.0%} beyond"
    )

# %% [markdown]
# ## Fit and save
#
# We run two chains for each model and save each fit. A file contains draws, data and columns,
# and no code; `load` needs the model.

# %%
folder = Path(tempfile.mkdtemp())
chains = MCMC(num_warmup=300, num_samples=500, num_chains=2)
for name, model in models.items():
    fit(model, y=y, x=x, method=chains, progress_bar=False).save(folder / name)

kept = {name: load(folder / name, model) for name, model in models.items()}
kept["fan"].summary()[["mean", "5%", "95%", "n_eff", "r_hat"]]

# %% [markdown]
# The figure shows 90% prediction bands. All three have the right coverage on average, but the
# first two are too wide for poor households and too narrow for rich ones. The richest
# household, with five times the mean income and three times the mean expenditure on food, is
# outside the figure.

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
        title=f"{name}: coverage {inside:.0%}",
        xlabel="income",
        xlim=(0.3, 3),
        ylim=(0, 4),
    )
_ = panels[0].set_ylabel("expenditure on food")

# %% [markdown]
# ## Compare
#
# `to_arviz` returns the posterior draws, the log likelihood of each household and posterior
# predictive draws, in ArviZ's format.

# %%
trees = {name: found.to_arviz() for name, found in kept.items()}
az.summary(trees["fan"], kind="stats")

# %% [markdown]
# Leave-one-out cross-validation: how well does each model predict a household from the others?
# The sum of the log densities can be estimated without further fits (Vehtari, Gelman and Gabry
# 2017). The estimate is reliable if no household is too influential, which the Pareto shapes
# indicate.

# %%
az.loo(trees["fan"])

# %%
table_of_models = az.compare(trees)
table_of_models[["rank", "elpd_loo", "p_loo", "elpd_diff", "dse", "warning"]]

# %% [markdown]
# The model `fan`, whose noise grows with the income, is better than the others by more than
# three standard errors of the difference (`dse`). Of the other two, heavy tails are better:
# they treat the rich households as outliers. Constant normal noise can explain neither. There
# one household is so influential that its Pareto shape is too large, as the warning says, and
# the effective number of parameters (`p_loo`) is far above three, the actual number.

# %%
best = table_of_models.iloc[0]
others = table_of_models.iloc[1:]
assert best.name == "fan"
assert (others["elpd_diff"] > 3 * others["dse"]).all()
figure, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
_ = az.plot_compare(table_of_models, ax=ax)

# %% [markdown]
# Posterior predictive check: each line is a simulated set of 235 households.

# %%
figure, panels = plt.subplots(
    1, 3, figsize=(8, 2.6), sharey=True, layout="constrained"
)
for ax, (name, tree) in zip(panels, trees.items(), strict=True):
    az.plot_ppc(
        tree, ax=ax, num_pp_samples=50, random_seed=0, legend=False, textsize=8
    )
    ax.set(title=name, xlabel="expenditure on food", xlim=(-0.3, 3))

# %% [markdown]
# The first two models simulate households that spend almost nothing on food, which do not
# exist in the data; the third does not. Apart from that, the marginal distributions are
# similar: they hide what the bands show, so compare models household by household. (`plot_ppc`
# is `plot_ppc_dist` in ArviZ 1.)
