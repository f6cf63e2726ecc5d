"""Weekly chickenpox in Hungarian counties: fields against the predictions of bayesnf.

python benchmarks/studies/chickenpox.py [--data ../shared/data] [--select]

Fits the three estimators to the training rows and scores them on the test rows, the year 2014
in four counties, whose earlier years are known as are the other counties in 2014. Writes
docs/tables/chickenpox.md and docs/pictures/chickenpox.png.

Each is fitted twice: to place and time alone, as bayesnf was, and with a column that says what
the other counties reported in that week, as far as training rows know it.

The settings below come from the training rows alone: `--select` prints the scores by which
they were chosen. Its folds are the test's twins: for each of the years 2010 to 2013, all rows
after that year are dropped, and four counties drawn at random lose that year.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optax
import pandas as pd
from matplotlib.dates import DateFormatter, YearLocator
from tables import DOCS, keep

from numpyro_bayeslayers.estimators import (
    BayesianNeuralFieldMAP,
    BayesianNeuralFieldMLE,
    BayesianNeuralFieldVI,
)
from numpyro_bayeslayers.metrics import (
    interval_coverage,
    interval_score,
    mean_absolute_error,
    root_mean_squared_error,
)

TARGET = "chickenpox"
COLUMNS = {
    "feature_cols": ["datetime", "latitude", "longitude"],
    "target_col": TARGET,
    "timetype": "index",
    "freq": "W",
    "standardize": ["latitude", "longitude"],
    "seasonality_periods": [4.0, 52.1775],
    "num_seasonal_harmonics": [2, 10],
    "depth": 2,
}
KINDS = {
    "MAP": BayesianNeuralFieldMAP,
    "MLE": BayesianNeuralFieldMLE,
    "VI": BayesianNeuralFieldVI,
}
# What was chosen: settings of the estimator and of its fit.
MODES = {
    "ensemble_size": 64,
    "num_epochs": 20,
    "batch_size": 512,
    "learning_rate": 0.005,
    "decay": False,
}
NORMALS = {
    "ensemble_size": 64,
    "num_epochs": 60,
    "batch_size": 512,
    "learning_rate": 0.01,
    "decay": True,
    "num_particles": 1,
    "kl_weight": 0.1,
}
COUNTS = {"width": 32, "observation_model": "NB"}
CHOSEN = {"MAP": (COUNTS, MODES), "MLE": (COUNTS, MODES), "VI": (COUNTS, NORMALS)}
# What was compared with it, one change at a time, at a quarter of the members.
PAIRS = [(0, 1), (0, 2), (1, 2)]
CHANGES = [
    {},
    {"elsewhere": True},
    {"observation_model": "NORMAL"},
    {"observation_model": "ZINB"},
    {"width": 64},
    {"fourier_degrees": [5, 2, 2]},
    {"fourier_degrees": [7, 5, 5]},
    {"num_seasonal_harmonics": [2, 26]},
    {"interactions": PAIRS},
    {"num_epochs": 0.5},
    {"num_epochs": 2.0},
    {"decay": True},
    {"decay": False},
    {"kl_weight": 0.03},
    {"kl_weight": 0.3},
]
# From the data's README: the scores of bayesnf's committed predictions.
PUBLISHED = {
    "bayesnf MAP": (25.67, 21.69, 131.0),
    "bayesnf MLE": (32.72, 28.62, 125.3),
    "bayesnf VI": (20.57, 13.81, 184.3),
}
BASELINE = {"mean by county and week of year": (24.86, 18.43)}
YEARS = (2010, 2011, 2012, 2013)
QUANTILES = (0.025, 0.5, 0.975)


def load(folder, name):
    return pd.read_csv(folder / "chickenpox" / f"{name}.csv", parse_dates=["datetime"])


def fold(table, year):
    """Training and validation rows: a twin of the test, in an earlier year."""
    table = table[table["datetime"].dt.year <= year]
    counties = sorted(table["location"].unique())
    lost = np.random.RandomState(year).choice(counties, 4, replace=False)
    is_lost = table["location"].isin(lost) & (table["datetime"].dt.year == year)
    return table[~is_lost], table[is_lost]


def elsewhere(train):
    """The mean of the roots of the other counties' training counts, by week and county.

    A row's own count is left out in training as in the test; roots of counts have about the
    same noise at all levels.
    """
    roots = np.sqrt(train.pivot(index="datetime", columns="location", values=TARGET))
    others = roots.fillna(0.0).sub(roots.sum(axis=1), axis=0)
    others /= roots.notna().astype(float).sub(roots.count(axis=1), axis=0)
    return others.stack().rename("elsewhere")


def fit_options(train, learning_rate, decay, **options):
    """The options of a fit; with `decay` the rate falls to zero, as a half wave of cosine."""
    if decay:
        steps = options["num_epochs"] * (len(train) // options["batch_size"])
        learning_rate = optax.cosine_decay_schedule(learning_rate, steps)
    return options | {"learning_rate": learning_rate}


def evaluate(kind, settings, options, train, test, seed=0):
    """Scores on `test`, the predicted quantiles, and the seconds of it all."""
    start = time.perf_counter()
    settings = COLUMNS | settings
    if settings.pop("elsewhere", False):
        column, where = elsewhere(train), ["datetime", "location"]
        train, test = train.join(column, on=where), test.join(column, on=where)
        for name in ("feature_cols", "standardize"):
            settings[name] = [*settings[name], "elsewhere"]
    field = KINDS[kind](**settings)
    field.fit(train, seed, progress_bar=False, **fit_options(train, **options))
    mean, quantiles = field.predict(test, QUANTILES)
    seconds = time.perf_counter() - start
    y, (low, _, high) = test[TARGET].to_numpy(), quantiles
    scores = {
        "RMSE": root_mean_squared_error(y, mean),
        "MAE": mean_absolute_error(y, mean),
        "interval score": interval_score(y, low, high),
        "coverage": interval_coverage(y, low, high),
    }
    return {name: float(score) for name, score in scores.items()}, quantiles, seconds


def study(train, test):
    """The table and the picture."""
    rows, drawn = [], {}
    for what, change in (("", {}), (", with the other counties", {"elsewhere": True})):
        for kind, (settings, options) in CHOSEN.items():
            found = evaluate(kind, settings | change, options, train, test)
            scores, drawn[kind], seconds = found
            numbers = [f"{scores[name]:.2f}" for name in ("RMSE", "MAE")]
            numbers += [f"{scores['interval score']:.1f}", f"{scores['coverage']:.0%}"]
            rows.append([f"`BayesianNeuralField{kind}`{what}", *numbers, f"{seconds:.0f}"])
            print(rows[-1], flush=True)
    for name, (rmse, mae, score) in PUBLISHED.items():
        rows.append([name, f"{rmse:.2f}", f"{mae:.2f}", f"{score:.1f}", "", ""])
    for name, (rmse, mae) in BASELINE.items():
        rows.append([name, f"{rmse:.2f}", f"{mae:.2f}", "", "", ""])
    header = ["", "RMSE", "MAE", "mean interval score (95%)", "coverage", "seconds"]
    keep("chickenpox", header, rows)
    draw(train, test, drawn)


def select(train):
    """How each change of the settings does on the folds, on average over their years."""
    rows = []
    for kind, (settings, options) in CHOSEN.items():
        for change in CHANGES:
            known = settings | options
            if any(known.get(name) == value for name, value in change.items()):
                continue  # as chosen
            if "kl_weight" in change and kind != "VI":
                continue
            own, fit = (
                dict(settings),
                options | {"ensemble_size": options["ensemble_size"] // 4},
            )
            for name, value in change.items():
                if name == "num_epochs":
                    fit[name] = int(fit[name] * value)
                else:
                    (fit if name in fit else own)[name] = value
            found = [evaluate(kind, own, fit, *fold(train, year))[0] for year in YEARS]
            mean = {name: np.mean([scores[name] for scores in found]) for name in found[0]}
            what = ", ".join(f"{name} {fit.get(name, own.get(name))}" for name in change)
            numbers = [f"{mean['RMSE']:.2f}", f"{mean['interval score']:.1f}"]
            rows.append(
                [f"{kind}: {what or 'as chosen'}", *numbers, f"{mean['coverage']:.0%}"]
            )
            print(rows[-1], flush=True)
    keep("chickenpox_folds", ["", "RMSE", "mean interval score (95%)", "coverage"], rows)


def draw(train, test, drawn):
    """The test counties, with what each estimator expected of 2014."""
    plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False}
    counties = sorted(test["location"].unique())
    size = {"figsize": (9, 8), "sharex": True, "sharey": "row", "layout": "constrained"}
    fig, axes = plt.subplots(len(counties), len(drawn), **size)
    for panels, county in zip(axes, counties, strict=True):
        is_here = (test["location"] == county).to_numpy()
        known = train[(train["location"] == county) & (train["datetime"] >= "2013")]
        for ax, quantiles in zip(panels, drawn.values(), strict=True):
            low, median, high = (q[is_here] for q in quantiles)
            days = test["datetime"][is_here]
            ax.fill_between(days, low, high, color="C0", alpha=0.25, lw=0, label="95%")
            ax.plot(days, median, "C0", label="median")
            ax.plot(known["datetime"], known[TARGET], "k.", ms=3, label="known")
            y = test[TARGET][is_here]
            ax.plot(days, y, "o", mfc="w", mec="k", ms=3, mew=0.6, label="unseen")
            ax.xaxis.set_major_locator(YearLocator())
            ax.xaxis.set_major_formatter(DateFormatter("%Y"))
        panels[0].set_ylabel(f"{county.title()}\ncases a week")
    for ax, kind in zip(axes[0], drawn, strict=True):
        ax.set_title(kind, fontsize=10)
    handles = axes[0, 0].get_legend_handles_labels()
    fig.legend(*handles, ncols=4, loc="outside lower center", fontsize=9)
    path = DOCS / "pictures" / "chickenpox.png"
    path.parent.mkdir(exist_ok=True)
    fig.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--select", action="store_true", help="compare settings")
    arguments = parser.parse_args()
    train = load(arguments.data, "train")
    if arguments.select:
        select(train)
    else:
        study(train, load(arguments.data, "test"))


if __name__ == "__main__":
    main()
