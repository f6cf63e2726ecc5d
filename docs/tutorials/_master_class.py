"""What the pages of the master class share: data, ways of fitting, scores and pictures.

Nothing here knows a model. A model is a NumPyro function of `x` and `y` with the sites "f", the
curve at the rows of `x`, and "y".
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pandas as pd
from jax import random
from numpyro.diagnostics import split_gelman_rubin
from numpyro.infer import MCMC, NUTS, Predictive
from numpyro.infer.autoguide import AutoDelta

from numpyro_bayeslayers.infer import EnsembleSVI

jax.config.update("jax_enable_x64", True)
plt.rcParams |= {
    "figure.dpi": 110,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

# KEYS[0] makes the data, KEYS[k] is for model k.
KEYS = random.split(random.PRNGKey(666), 16)
STARTS = 8


def curve(x):
    """sin(x) / x, which is 1 at zero."""
    return jnp.sinc(x / jnp.pi)


def _data(key):
    key_x, key_noise = random.split(key)
    x = random.uniform(key_x, (100, 1), minval=-10.0, maxval=10.0)
    return x, curve(x[:, 0]) + 0.05 * random.normal(key_noise, (100,))


X, Y = _data(KEYS[0])
X_TEST = jnp.linspace(-10.0, 10.0, 400)[:, None]


def frozen(key, number):
    """Frequencies (1, number) and phases (number,) of random Fourier features, drawn once."""
    key_w, key_b = random.split(key)
    phases = random.uniform(key_b, (number,), maxval=2 * math.pi)
    return random.normal(key_w, (1, number)), phases


class Fitted(NamedTuple):
    """Predictive draws at the test inputs, (starts, draws, 400), and the time of the fit.

    Chains are pooled as one start; an optimization has several starts, each with its own result.
    """

    draws: np.ndarray
    seconds: float
    r_hat: float | None = None

    @property
    def mean(self) -> np.ndarray:
        """The mean of the predictive draws of each start, (starts, 400)."""
        return self.draws.mean(1)

    @property
    def band(self) -> np.ndarray:
        """The 2.5 and 97.5 percentiles of the first start's draws, (2, 400)."""
        return np.percentile(self.draws[0], [2.5, 97.5], axis=0)

    @property
    def r2s(self) -> np.ndarray:
        """The share of the noise-free curve's variance that each start's mean explains."""
        truth = np.asarray(curve(X_TEST[:, 0]))
        return 1 - np.mean((truth - self.mean) ** 2, 1) / np.var(truth)

    @property
    def r2(self) -> float:
        """The mean of these shares."""
        return float(np.mean(self.r2s))


def nuts(
    model: Callable[..., Any],
    key: jax.Array,
    num_warmup: int = 300,
    num_samples: int = 500,
    predict: Callable[..., Any] | None = None,
    **options: Any,
) -> Fitted:
    """Two chains of the no-U-turn sampler in one program, then one prediction for each draw.

    Args:
        model: The model.
        key: Random key.
        num_warmup: Steps of adaptation.
        num_samples: Draws of each chain.
        predict: A model of `x` for predictions, if `model` itself cannot make them.
        options: Further arguments of `NUTS`.
    """
    start = time.perf_counter()
    key_run, key_predict = random.split(key)
    mcmc = MCMC(
        NUTS(model, **options),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=2,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(key_run, X, Y)
    chains = mcmc.get_samples(group_by_chain=True)
    # Units can be permuted, so the R-hat of a weight is meaningless: only the curve and the
    # scalars are compared.
    compared = [x for name, x in chains.items() if name == "f" or x.ndim == 2]
    r_hat = max(np.max(split_gelman_rubin(np.asarray(x))) for x in compared)
    latents = {
        name: value for name, value in mcmc.get_samples().items() if name != "f"
    }
    draws = Predictive(predict or model, latents)(key_predict, X_TEST)["y"]
    return Fitted(
        np.asarray(draws)[None], time.perf_counter() - start, float(r_hat)
    )


def mode(
    model: Callable[..., Any], key: jax.Array, num_draws: int = 200
) -> Fitted:
    """Modes of the posterior: SVI with a delta guide, 2000 steps of Adam, from eight starts.

    The result of a run depends mostly on its starting point and, with dropout, on the masks
    during training. A score is therefore the mean over starts, which run in one program.

    Args:
        model: The model.
        key: Random key.
        num_draws: The number of predictive draws from each start.
    """
    start = time.perf_counter()
    key_run, key_predict = random.split(key)
    svi = EnsembleSVI(model, AutoDelta, optax.adam(5e-3), num_members=STARTS)
    result = svi.run(key_run, 2000, X, Y, progress_bar=False)
    draws = svi.predict(key_predict, result, X_TEST, num_samples=num_draws)["y"]
    return Fitted(np.swapaxes(draws, 0, 1), time.perf_counter() - start)


def show(name: str, fitted: Fitted, ax: Any = None) -> Fitted:
    """A picture of the fit, with its score above."""
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
    x = X_TEST[:, 0]
    ax.fill_between(
        x, *fitted.band, alpha=0.25, label="95% of new observations"
    )
    ax.plot(x, fitted.mean[0], label="predictive mean")
    ax.plot(x, curve(x), "k--", lw=1, label="truth")
    ax.plot(X[:, 0], Y, "k.", ms=3, label="data")
    if fitted.r_hat is None:
        more = f" ± {fitted.r2s.std():.3f} over {len(fitted.r2s)} starts, of which one is shown"
    else:
        more = f", worst R-hat {fitted.r_hat:.2f}"
    ax.set_title(f"{name}: R² {fitted.r2:.3f}{more}", fontsize=10)
    ax.set(xlabel="x", ylabel="y", ylim=(-0.7, 1.6))
    ax.legend(fontsize=7, frameon=False, loc="upper right", ncols=4)
    return fitted


def table(scores: Mapping[str, Fitted]) -> pd.DataFrame:
    """The scores of a page."""
    rows = {
        name: {
            "R²": f"{fitted.r2:.3f}",
            "worst R-hat": ""
            if fitted.r_hat is None
            else f"{fitted.r_hat:.3f}",
            "seconds": f"{fitted.seconds:.0f}",
        }
        for name, fitted in scores.items()
    }
    return pd.DataFrame(rows).T
