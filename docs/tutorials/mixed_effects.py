# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Mixed effects: investment of eleven firms
#
# This tutorial fits a mixed-effects model by layers and by restricted maximum likelihood
# (REML), for users who know lme4 or statsmodels. The data are Grunfeld's panel, which comes
# with statsmodels: gross investment of 11 US firms in the 20 years from 1935, with their
# market value and their stock of capital. Each firm has its own intercept. Both models have
# the same terms.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpyro.infer import MCMC, NUTS

from numpyro_bayeslayers.layers import (
    FixedPriorLayer,
    InterceptLayer,
    RandomEffectsLayer,
    RandomWalkLayer,
    gaussian_link,
)

plt.rcParams |= {
    "figure.dpi": 110,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
panel = sm.datasets.grunfeld.load_pandas().data
table = pd.DataFrame(
    {
        "investment": np.log(panel.invest),
        "value": np.log(panel.value) - np.log(panel.value).mean(),
        "capital": np.log(panel.capital) - np.log(panel.capital).mean(),
        "firm": panel.firm.astype(str),
        "year": panel.year.astype(int),
    }
)
firm, firms = pd.factorize(table.firm)
x = jnp.asarray(table[["value", "capital"]].to_numpy(), jnp.float32)
y = jnp.asarray(table.investment.to_numpy(), jnp.float32)

# %% [markdown]
# The classical fit. Its intervals treat the variances of the firms and of the noise as known.

# %%
classical = smf.mixedlm(
    "investment ~ value + capital", table, groups=table.firm
).fit()
print(classical.summary().tables[1])

# %% [markdown]
# The same model with layers. Intercept and slopes have wide priors. The effects of the firms
# share a scale, which is estimated, and are non-centered by default.

# %%
slopes = FixedPriorLayer(dist.Normal, {"loc": 0.0, "scale": 5.0})
level = InterceptLayer(dist.Normal, {"loc": 0.0, "scale": 10.0})


def model(x, firm, y=None):
    mean = level("level") + slopes("slopes", x)
    mean = mean + RandomEffectsLayer()("firm", firm, len(firms))
    return gaussian_link(mean, y)


def sample(model, *args):
    kernel = NUTS(model, target_accept_prob=0.95)
    mcmc = MCMC(kernel, num_warmup=600, num_samples=600, progress_bar=False)
    mcmc.run(jax.random.key(0), *args, extra_fields=("diverging",))
    print("divergences:", int(mcmc.get_extra_fields()["diverging"].sum()))
    return {
        name: np.asarray(value) for name, value in mcmc.get_samples().items()
    }


draws = sample(model, x, firm, y)


# %%
def interval(values):
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def classical_interval(name):
    low, high = classical.conf_int().loc[name]
    return f"{classical.params[name]:.3f} [{low:.3f}, {high:.3f}]"


rows = {
    "value": (
        classical_interval("value"),
        interval(draws["slopes.beta"][:, 0, 0]),
    ),
    "capital": (
        classical_interval("capital"),
        interval(draws["slopes.beta"][:, 1, 0]),
    ),
    "sd of firms": (
        f"{np.sqrt(classical.cov_re.iloc[0, 0]):.3f}",
        interval(draws["firm.scale"]),
    ),
    "sd of noise": (
        f"{np.sqrt(classical.scale):.3f}",
        interval(draws["obs.sigma"]),
    ),
}
pd.DataFrame(rows, index=["REML", "posterior"]).T

# %% [markdown]
# Slopes and scales agree. The posterior also gives the uncertainty of the scales, which REML
# ignores. The effects of the firms and the classical predictions:

# %%
effects = draws["firm.theta"][..., 0]
blups = np.array(
    [float(classical.random_effects[name].iloc[0]) for name in firms]
)
order = np.argsort(blups)
low, middle, high = np.quantile(effects, [0.05, 0.5, 0.95], axis=0)
figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
rank = np.arange(len(firms))
ax.hlines(rank, low[order], high[order], lw=2, alpha=0.5)
ax.plot(middle[order], rank, "o", ms=5, label="posterior median, 90% interval")
ax.plot(blups[order], rank, "k|", ms=11, label="REML prediction")
ax.axvline(0, color="0.7", lw=0.8, zorder=0)
ax.set_yticks(rank, firms[order])
ax.set_xlabel("effect on log investment")
_ = ax.legend(fontsize=8, frameon=False, loc="lower right")

# %% [markdown]
# ## Crossed effects
#
# All firms share the same years. A random walk over the years is one more term; it shows a dip
# in 1938 and 1939, and the growth after the war.

# %%
year = table.year.to_numpy() - table.year.min()


def crossed(x, firm, year, y=None):
    mean = level("level") + slopes("slopes", x)
    mean = mean + RandomEffectsLayer()("firm", firm, len(firms))
    mean = mean + RandomWalkLayer()("year", year, int(year.max()) + 1)
    return gaussian_link(mean, y)


draws = sample(crossed, x, firm, year, y)
walk = draws["year.theta"][..., 0]
walk = walk - walk.mean(1, keepdims=True)
low, middle, high = np.quantile(walk, [0.05, 0.5, 0.95], axis=0)
years = np.unique(table.year)
figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
ax.fill_between(years, low, high, alpha=0.25, label="90% interval")
ax.plot(years, middle, label="median")
ax.axhline(0, color="0.7", lw=0.8, zorder=0)
ax.set(xlabel="year", ylabel="effect on log investment", xticks=years[::3])
_ = ax.legend(fontsize=8, frameon=False)
