"""The published table of Bayesian networks on sets of UCI, by `BayesianRegressor`.

python -m benchmarks.published_tables --data ../shared/data [--splits 20]

The protocol is that of Hernández-Lobato and Adams (2015): one hidden layer of 50 ReLU units, twenty
given splits, scores on the test rows in the outcome's units. All sets have the default settings;
what is chosen (prior scale, noise) is chosen by the estimator on held-out training rows. One line
of JSON is written for each split, and a run that finds the line goes on with the next: the table
is of the lines that there are.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.studies.tables import keep
from numpyro_bayeslayers.estimators import BayesianRegressor

# RMSE and NLL: probabilistic backpropagation, dropout, five deep networks (Lakshminarayanan,
# Pritzel and Blundell 2017, table 1).
PUBLISHED = {
    "yacht": ((1.02, 1.11, 1.58), (1.63, 1.55, 1.18)),
    "energy": ((1.80, 1.66, 2.09), (2.04, 1.99, 1.38)),
    "concrete": ((5.67, 5.23, 6.03), (3.16, 3.04, 3.06)),
    "wine-quality-red": ((0.64, 0.62, 0.64), (0.97, 0.93, 0.94)),
}


def split(folder, number):
    """Training rows and outcomes, test rows and outcomes."""
    data = np.loadtxt(folder / "data.csv", delimiter=",")
    line = (folder / "test_rows.csv").read_text().splitlines()[number]
    test = np.array(line.replace(",", " ").split(), int)
    train = np.setdiff1d(np.arange(len(data)), test)
    return data[train, :-1], data[train, -1], data[test, :-1], data[test, -1]


def scores(folder, number):
    """Those of one split."""
    x, y, x_test, y_test = split(folder, number)
    start = time.process_time()
    model = BayesianRegressor(hidden=(50,), random_state=number).fit(x, y)
    seconds = time.process_time() - start
    low, high = model.predict_interval(x_test, coverage=0.9)
    error = model.predict(x_test) - y_test
    return {
        "set": folder.name,
        "split": number,
        "rmse": float(np.sqrt(np.mean(error**2))),
        "nll": float(-model.score_samples(x_test, y_test).mean()),
        "coverage": float(np.mean((low <= y_test) & (y_test <= high))),
        "prior_scale": model.prior_scale_,
        "factor": model.factor_,
        "cpu_seconds": seconds,
    }


def with_error(values):
    """A mean and its standard error over splits."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{np.mean(values):.2f} ± {error:.2f}"


def write(lines):
    """The table of all lines."""
    rows = []
    for name, published in PUBLISHED.items():
        own = [line for line in lines if line["set"] == name]
        if not own:
            continue
        of = {key: [line[key] for line in own] for key in ("rmse", "nll", "coverage")}
        covered = f"{100 * np.mean(of['coverage']):.1f}%"
        theirs = [" / ".join(f"{v:.2f}" for v in values) for values in published]
        mine = [with_error(of[key]) for key in ("rmse", "nll")]
        rows.append((name, len(own), mine[0], theirs[0], mine[1], theirs[1], covered))
    header = (
        "data set",
        "splits",
        "RMSE",
        "published",
        "NLL",
        "published",
        "coverage of 90% intervals",
    )
    keep("published", header, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--sets", nargs="*", default=list(PUBLISHED))
    parser.add_argument("--lines", type=Path, default=Path(".cache/published_tables.jsonl"))
    options = parser.parse_args()
    options.lines.parent.mkdir(parents=True, exist_ok=True)
    known = options.lines.read_text().splitlines() if options.lines.exists() else []
    lines = [json.loads(line) for line in known]
    done = {(line["set"], line["split"]) for line in lines}
    for number in range(options.splits):
        for name in options.sets:
            if (name, number) in done:
                continue
            lines.append(scores(options.data / "uci" / name, number))
            print(lines[-1], flush=True)
            with options.lines.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    write(lines)


if __name__ == "__main__":
    main()
