"""The demonstration: one network on real data, fitted by four methods.

The data are the 442 patients of scikit-learn's diabetes set: ten measurements, and the
progression of the disease a year later. The network predicts a mean and a standard deviation
for each patient, so the uncertainty has an aleatoric part (noise) and an epistemic part
(weights).
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jaxtyping import Array, Float
from numpyro.infer import MCMC, NUTS, SVI, Predictive, TraceMeanField_ELBO, init_to_sample
from numpyro.infer.autoguide import AutoNormal

from .handlers import flipout
from .infer import EnsembleSVI
from .layers import DenseReparameterization


class Data(NamedTuple):
    """Standardized training rows, standardized test inputs, and outputs in their own units."""

    x: Array
    y: Array
    x_test: Array
    y_test: np.ndarray
    shift: float
    scale: float


class Fit(NamedTuple):
    """Draws of the outcomes of the test rows, their log density, and the times in seconds."""

    outcomes: np.ndarray
    log_density: np.ndarray
    compile_s: float
    run_s: float


def of_normals(mean: Any, std: Any, data: Data, seconds: list[float]) -> Fit:
    """Predictions of an equal-weight mixture of normals, one per draw, in the output's units."""
    mean = np.asarray(mean) * data.scale + data.shift
    std = np.asarray(std) * data.scale
    noise = np.random.default_rng(0).standard_normal(
        (max(1, 4000 // len(mean)), *mean.shape)
    )
    outcomes = (mean + std * noise).reshape(-1, mean.shape[-1])
    normals = dist.Normal(jnp.asarray(mean), jnp.asarray(std)).log_prob(
        jnp.asarray(data.y_test)
    )
    density = jax.nn.logsumexp(normals, axis=0) - jnp.log(len(mean))
    return Fit(outcomes, np.asarray(density), *seconds)


def network(
    x: Float[Array, "n d"], width: int
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Mean and standard deviation of the output, from a network with one hidden layer."""
    hidden = DenseReparameterization(
        x.shape[-1], width, prior_scale="fan_in", name="hidden"
    )
    out = DenseReparameterization(width, 2, prior_scale="fan_in", name="out")
    mean, raw = jnp.moveaxis(out(jnp.tanh(hidden(x))), -1, 0)
    return mean, 0.05 + jax.nn.softplus(raw)


def model(
    x: Float[Array, "n d"], y: Float[Array, " n"] | None = None, *, width: int
) -> None:
    """The network with a heteroscedastic normal likelihood."""
    mean, std = network(x, width)
    numpyro.deterministic("mean", mean)
    numpyro.deterministic("std", std)
    with numpyro.plate("patients", x.shape[0]):
        numpyro.sample("y", dist.Normal(mean, std), obs=y)


def fit_svi(data: Data, width: int, steps: int) -> Fit:
    """Variational inference with flipout, NumPyro's `SVI` and an autoguide."""
    net = partial(model, width=width)
    guide = AutoNormal(net, init_loc_fn=init_to_sample, init_scale=0.05)
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-2, steps))
    svi = SVI(flipout(net), guide, optimizer, TraceMeanField_ELBO())
    with stopwatch() as seconds:
        state = jax.jit(svi.init)(jax.random.key(0), data.x, data.y)
        result = svi.run(jax.random.key(0), steps, data.x, data.y, init_state=state)
        predict = Predictive(net, guide=guide, params=result.params, num_samples=200)
        draws = predict(jax.random.key(1), data.x_test)
    return of_normals(draws["mean"], draws["std"], data, seconds)


def fit_estimator(data: Data, width: int, steps: int) -> Fit:
    """The estimator: eight modes, with prior scale and noise factor chosen on held-out patients."""
    from .estimators import BayesianRegressor

    model = BayesianRegressor((width,), num_steps=steps, random_state=0)
    with stopwatch() as seconds:
        model.fit(data.x, np.asarray(data.y) * data.scale + data.shift)
        outcomes = model.sample(data.x_test, 4000)
        density = model.score_samples(data.x_test, data.y_test)
    return Fit(outcomes, density, *seconds)


def fit_ensemble_svi(data: Data, width: int, steps: int) -> Fit:
    """Sixteen variational fits from different initial values, in one plate."""
    net = partial(model, width=width)
    guide = AutoNormal(net, init_loc_fn=init_to_sample, init_scale=0.05)
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-2, steps))
    ensemble = EnsembleSVI(flipout(net), guide, optimizer, TraceMeanField_ELBO(), 16)
    with stopwatch() as seconds:
        result = ensemble.run(0, steps, data.x, data.y)
        draws = ensemble.predict(1, result, data.x_test, num_samples=20)
        jax.block_until_ready(draws)
    mean, std = (draws[site].reshape(-1, len(data.x_test)) for site in ("mean", "std"))
    return of_normals(mean, std, data, seconds)


def fit_nuts(data: Data, width: int, steps: int) -> Fit:
    """NUTS draws from the posterior of a small network."""
    net = partial(model, width=width)
    mcmc = MCMC(NUTS(net), num_warmup=steps, num_samples=steps)
    with stopwatch() as seconds:
        mcmc.run(jax.random.key(0), data.x, data.y)
        predict = Predictive(net, posterior_samples=mcmc.get_samples())
        draws = predict(jax.random.key(1), data.x_test)
    return of_normals(draws["mean"], draws["std"], data, seconds)


def load() -> Data:
    """The diabetes data, with every fifth row of a fixed permutation held out."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    test, train = order[::5], np.delete(order, np.s_[::5])
    x = (x - x[train].mean(0)) / x[train].std(0)
    shift, scale = y[train].mean(), y[train].std()
    standard = (y[train] - shift) / scale
    return Data(
        jnp.asarray(x[train]),
        jnp.asarray(standard),
        jnp.asarray(x[test]),
        y[test],
        shift,
        scale,
    )


@contextmanager
def stopwatch() -> Generator[list[float]]:
    """Seconds spent compiling and running, available when the block ends."""
    seconds: list[float] = []
    compiling = 0.0

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        nonlocal compiling
        if event.startswith("/jax/core/compile"):
            compiling += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    start = time.perf_counter()
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        seconds += [compiling, time.perf_counter() - start - compiling]


class Scores(NamedTuple):
    """Scores of a fit on the test rows, in the output's units."""

    rmse: float
    nll: float
    coverage: float
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray


def score(fit: Fit, data: Data) -> Scores:
    """Compute the scores of a fit, including the coverage of its 90% interval."""
    low, high = np.quantile(fit.outcomes, [0.05, 0.95], axis=0)
    middle = fit.outcomes.mean(0)
    rmse = np.sqrt(np.mean((middle - data.y_test) ** 2))
    coverage = np.mean((low <= data.y_test) & (data.y_test <= high))
    nll = -fit.log_density.mean()
    return Scores(float(rmse), float(nll), float(coverage), low, middle, high)


def table(fits: dict[str, Fit], scores: dict[str, Scores]) -> str:
    """A table with one row per method."""
    head = f"{'':28}{'RMSE':>7}{'NLL':>7}{'in 90%':>8}{'compile s':>11}{'run s':>7}"
    rows = [
        f"{name:28}{s.rmse:7.1f}{s.nll:7.2f}{s.coverage:8.0%}"
        f"{fits[name].compile_s:11.1f}{fits[name].run_s:7.1f}"
        for name, s in scores.items()
    ]
    return "\n".join([head, *rows])


def draw(fits: dict[str, Fit], scores: dict[str, Scores], data: Data, path: Path) -> None:
    """Plot intervals and outcomes of the test rows by predicted mean, with the coverage."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .plots import plot_calibration

    figure = Figure(figsize=(14, 8), layout="constrained")
    axes, below = figure.subplots(2, len(scores), sharey="row")
    for axis, (name, s) in zip(axes, scores.items(), strict=True):
        order, rank = np.argsort(s.middle), np.arange(len(s.middle))
        inside = ((s.low <= data.y_test) & (data.y_test <= s.high))[order]
        axis.vlines(rank, s.low[order], s.high[order], color="#b7c9e2", lw=2.5)
        axis.plot(rank, s.middle[order], color="#1f4e8c", lw=1.5)
        outcome = data.y_test[order]
        axis.scatter(rank[inside], outcome[inside], s=9, color="black", zorder=3)
        axis.scatter(rank[~inside], outcome[~inside], s=14, color="#c0392b", zorder=3)
        axis.set_title(
            f"{name}\n{s.coverage:.0%} of outcomes in the 90% interval", fontsize=10
        )
        axis.set_xlabel("test patients, by predicted mean")
    axes[0].set_ylabel("disease progression after a year")
    labels = {
        "90% interval": "#b7c9e2",
        "mean": "#1f4e8c",
        "inside": "black",
        "outside": "#c0392b",
    }
    for label, color in labels.items():
        axes[0].plot([], [], color=color, lw=2.5, label=label)
    axes[0].legend(loc="upper left", fontsize=8)
    for axis, fit in zip(below, fits.values(), strict=True):
        plot_calibration(data.y_test, fit.outcomes, ax=axis)
    FigureCanvasAgg(figure).print_png(path)


def main(out: str | Path = "bayeslayers-demo.png", *, quick: bool = False) -> None:
    """Run the fits, print the table, and save the figure to `out`.

    Args:
        out: The file of the figure, a PNG.
        quick: Whether to take only a tenth of the steps.

    Raises:
        FileNotFoundError: If the folder of `out` does not exist.
    """
    path = Path(out)
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder of `out` must exist, got {str(path)!r}.")
    data, share = load(), 0.1 if quick else 1.0
    ways: dict[str, Callable[[Data], Fit]] = {
        "SVI with flipout": partial(fit_svi, width=32, steps=int(3000 * share)),
        "8 modes (BayesianRegressor)": partial(
            fit_estimator, width=32, steps=int(2000 * share)
        ),
        "16 guides (EnsembleSVI)": partial(
            fit_ensemble_svi, width=32, steps=int(1000 * share)
        ),
        "NUTS, small network": partial(fit_nuts, width=4, steps=int(400 * share)),
    }
    fits = {}
    for name, fit in ways.items():
        print(name)
        fits[name] = fit(data)
    scores = {name: score(fit, data) for name, fit in fits.items()}
    print(f"\n{len(data.y)} training patients, {len(data.y_test)} test patients\n")
    print(table(fits, scores))
    draw(fits, scores, data, path)
    print(f"\nThe figure of the predictions is {path}")
