"""One model under three methods: the picture of the first page, by the page's own code.

python benchmarks/studies/one_model.py

Writes docs/pictures/one_model.png.
"""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pages import blocks
from tables import DOCS

from numpyro_bayeslayers.infer import MCMC, Ensemble, fit

METHODS = {
    "variational inference": {"num_steps": 3000},
    "ensemble of eight": {"method": Ensemble(), "num_steps": 3000},
    "Markov chains": {"method": MCMC(num_chains=2)},
}


def page_names():
    """What the first block of the first page defines."""
    names = {}
    code, _ = next(blocks("index"))
    exec(code, names)
    return names


def main():
    names = page_names()
    model, x, y = (names[name] for name in ("model", "x", "y"))
    grid = np.linspace(-3, 3, 200)
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axis, (title, options) in zip(
        figure.subplots(1, 3, sharey=True), METHODS.items(), strict=True
    ):
        found = fit(model, y=y, x=x, progress_bar=False, **options)
        predictions = found.predict(x=grid[:, None])
        low, high = predictions.quantiles((0.05, 0.95))
        axis.fill_between(grid, low, high, color="#b7c9e2", lw=0, label="90% interval")
        axis.plot(grid, predictions.mean, color="#1f4e8c", lw=1.5, label="mean")
        axis.plot(grid, np.sin(2 * grid), color="#c0392b", lw=1, ls="--", label="truth")
        axis.scatter(x[:, 0], y, s=8, color="black", zorder=3, label="data")
        axis.set(title=title, xlabel="x", ylim=(-3, 3))
    figure.axes[0].legend(loc="lower right", fontsize=8, ncols=2)
    path = DOCS / "pictures" / "one_model.png"
    FigureCanvasAgg(figure).print_png(path)
    print(path)


if __name__ == "__main__":
    main()
