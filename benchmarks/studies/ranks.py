"""Ranks of one small regression by chains and by a factorized guide: the picture of docs/trust.md.

python benchmarks/studies/ranks.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from numpyro_bayeslayers.infer import MCMC, VI
from numpyro_bayeslayers.layers import AdaptiveLayer, InterceptLayer, gaussian_link
from numpyro_bayeslayers.plots import plot_ranks
from numpyro_bayeslayers.testing import sbc

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "plot_ranks.png"
METHODS = {
    "NUTS": (MCMC(num_chains=1, num_warmup=200, num_samples=400), None),
    "VI, a factorized guide": (VI(), 1000),
}
SHOWN = ("base.beta", "slope.beta", "slope.scale", "obs.sigma", "log_likelihood")


def model(x, y=None):
    return gaussian_link(InterceptLayer()("base", 1) + AdaptiveLayer()("slope", x), y)


def main():
    """Write the picture, and print what was found."""
    x = np.linspace(-1.0, 1.0, 20)
    figure, both = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    for ax, (name, (method, steps)) in zip(both, METHODS.items(), strict=True):
        found = sbc(model, method=method, num_steps=steps, num_replications=200, x=x)
        print(name, found, sep="\n")
        plot_ranks({n: found.ranks[n] for n in SHOWN}, found.num_draws, ax=ax)
        ax.set_title(name, fontsize=11)
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    main()
