"""Ranks of simulation-based calibration: the picture of docs/trust.md, and one of all families.

python benchmarks/studies/ranks.py
"""

import sys
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from numpyro_bayeslayers.infer import VI
from numpyro_bayeslayers.plots import plot_ranks
from numpyro_bayeslayers.testing import sbc

sys.path.insert(0, str(Path(__file__).parents[2]))  # the tables of the tests
from tests.testing.calibrated import CASES, X, effects

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SHOWN = ("base.beta", "slope.beta", "slope.scale", "obs.sigma", "log_likelihood")


def methods(right):
    """A method that is right, and one that is not, for one regression."""
    wrong = sbc(effects, method=VI(), num_steps=1000, num_replications=200, x=X)
    print("VI, a factorized guide", wrong, sep="\n")
    figure, both = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    results = {"NUTS": right, "VI, a factorized guide": wrong}
    for ax, (name, found) in zip(both, results.items(), strict=True):
        plot_ranks({n: found.ranks[n] for n in SHOWN}, found.num_draws, ax=ax)
        ax.set_title(name, fontsize=11)
    figure.savefig(PICTURES / "plot_ranks.png", dpi=100)


def families(results):
    """Each case of the slow tests, all of its quantities in one color."""
    figure, all_of_them = plt.subplots(
        2, (len(results) + 1) // 2, figsize=(15, 6), sharey=True, layout="constrained"
    )
    for ax, (name, found) in zip(all_of_them.flat, results.items(), strict=True):
        plot_ranks(found.ranks, found.num_draws, ax=ax)
        for line in ax.lines[1:]:
            line.set(color="#0072B2", lw=1.0, alpha=0.8)
        ax.get_legend().remove()
        ax.set_title(f"{name} (p = {found.p_value:.2g})", fontsize=10)
        ax.label_outer()
    figure.savefig(PICTURES / "ranks_of_families.png", dpi=100)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    results = {}
    for name, case in CASES.items():
        results[name] = case.run()
        print(name, results[name], sep="\n")
    methods(results["effects, NUTS"])
    families(results)
