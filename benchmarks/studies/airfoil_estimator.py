"""Airfoil self-noise by `BayesianRegressor`, in the protocol of sklearn-contrib-bde.

python benchmarks/studies/airfoil_estimator.py --data ../shared/data [--method modes] [--seeds 5]

301 of 1,503 rows are test rows, drawn by seed 0. Columns and outcome are standardized with the
training rows, and scores are in these units. The network has four hidden layers of 16 ReLU
units, and there are ten members. Chains have the settings of airfoil.py. NLL is that of one normal
with the mean and the variance of the prediction, as theirs is, and that of the prediction itself.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from airfoil import KERNEL, table
from scipy.stats import norm
from tables import keep

from numpyro_bayeslayers.estimators import BayesianRegressor
from numpyro_bayeslayers.infer import Modes, SampledEnsemble

METHODS = {
    "modes": Modes(num_members=10),
    "sampled_ensemble": SampledEnsemble(
        num_members=10, num_warmup=250, num_samples=100, kernel_options=KERNEL
    ),
}


def scores(parts, method, seed):
    """RMSE, NLL of one normal, NLL, coverage of 90% intervals, and CPU seconds of the fit."""
    x, y, new, right = parts
    start = time.process_time()
    model = BayesianRegressor((16,) * 4, method=METHODS[method], random_state=seed)
    model.fit(x, y)
    seconds = time.process_time() - start
    mean, std = model.predict(new, return_std=True)
    low, high = model.predict_interval(new)
    rmse = np.sqrt(np.mean((mean - right) ** 2))
    one_normal = -norm(mean, std).logpdf(right).mean()
    nll = -model.score_samples(new, right).mean()
    inside = np.mean((low <= right) & (right <= high))
    return rmse, one_normal, nll, inside, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--method", choices=list(METHODS), default="modes")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    parts, found = table(options.data), []
    for seed in range(options.seeds):
        found.append(scores(parts, options.method, seed))
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
