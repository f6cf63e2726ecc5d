"""Airfoil self-noise by `BayesianRegressor`, in the protocol of sklearn-contrib-bde.

python -m benchmarks.studies.airfoil_estimator --data ../shared/data [--method modes] [--seeds 5]

301 of 1,503 rows are test rows, drawn by seed 0. Columns and outcome are standardized with the
training rows, and scores are in these units. The network has four hidden layers of 16 ReLU
units, and there are ten members. NLL is that of one normal with the mean and the variance of
the prediction, as theirs is, and that of the prediction itself.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.stats import norm

from benchmarks.studies.tables import keep
from numpyro_bayeslayers.estimators import BayesianRegressor
from numpyro_bayeslayers.infer import Modes, SampledEnsemble

METHODS = {
    "modes": Modes(num_members=10),
    "sampled_ensemble": SampledEnsemble(num_members=10, num_warmup=1000, num_samples=100),
}


def scores(table, method, seed):
    """RMSE, NLL of one normal, NLL, coverage of 90% intervals, and CPU seconds of the fit."""
    rows = np.random.RandomState(0).permutation(len(table))
    test, train = rows[:301], rows[301:]
    z = (table - table[train].mean(0)) / table[train].std(0)
    x, y = z[:, :-1], z[:, -1]
    start = time.process_time()
    model = BayesianRegressor((16,) * 4, method=METHODS[method], random_state=seed)
    model.fit(x[train], y[train])
    seconds = time.process_time() - start
    mean, std = model.predict(x[test], return_std=True)
    low, high = model.predict_interval(x[test])
    rmse = np.sqrt(np.mean((mean - y[test]) ** 2))
    one_normal = -norm(mean, std).logpdf(y[test]).mean()
    nll = -model.score_samples(x[test], y[test]).mean()
    inside = np.mean((low <= y[test]) & (y[test] <= high))
    return rmse, one_normal, nll, inside, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--method", choices=list(METHODS), default="modes")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    table = np.loadtxt(options.data / "airfoil" / "data.csv", delimiter=",", skiprows=1)
    found = []
    for seed in range(options.seeds):
        found.append(scores(table, options.method, seed))
        print(seed, *(f"{v:.4g}" for v in found[-1]), flush=True)
    numbers = [f"{np.mean(v):.3f}" for v in list(zip(*found, strict=True))[:3]]
    covered = f"{100 * np.mean([v[3] for v in found]):.1f}%"
    header = ("method", "seeds", "RMSE", "NLL of one normal", "NLL", "in 90%")
    rows = [(f"`{options.method}`", len(found), *numbers, covered)]
    is_default = options.method == "modes"
    name = "airfoil_estimator" + ("" if is_default else f"_{options.method}")
    keep(name, header, rows)


if __name__ == "__main__":
    main()
