"""The master class: seven regressions at three levels, their scores in one table.

python benchmarks/studies/master_class.py

Runs the three pages, writes docs/tables/master_class.md and docs/pictures/master_class.png, and
fails if a score is not the expected one or if the levels disagree; some
minutes on two cores.
"""

import itertools
import runpy
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from tables import DOCS, keep

LEVELS = {
    "by hand": "master_class_by_hand",
    "layers": "master_class_layers",
    "lift": "master_class_lift",
}
# The name of the model on the pages, and its R².
EXPECTED = {
    "1 line": -0.015,
    "2 network, mode": 0.992,
    "3 dropout, mode": 0.906,
    "4 network, NUTS": 0.994,
    "5 features": 0.996,
    "6 amplitude": 0.996,
    "7 two layers": 0.995,
}
COLLAPSED = "6 amplitude, weights integrated out"
MOST_R_HAT = 1.1


def run_page(name):
    """The scores of a page, which is a program."""
    folder = DOCS / "tutorials"
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    scores = runpy.run_path(str(folder / f"{name}.py"))["scores"]
    plt.close("all")
    return scores


def r2_error(fitted):
    """A standard error of the score.

    Of modes: that of a mean over starts. Of draws: from ten batches of them, in the order of the
    chains, so that their dependence is in it.
    """
    if fitted.r_hat is None:
        return fitted.r2s.std(ddof=1) / np.sqrt(len(fitted.r2s))
    draws = fitted.draws[0]
    parts = np.array_split(np.arange(len(draws)), 10)
    left_out = [fitted._replace(draws=np.delete(draws, p, 0)[None]).r2 for p in parts]
    return np.sqrt(0.9 * np.sum((left_out - np.mean(left_out)) ** 2))


def problems(scores):
    """What is wrong with the scores of all levels, in words; nothing if all is well."""
    found = []
    for model, expected in EXPECTED.items():
        tolerance = 0.02 if expected < 0 else 0.01
        cells = {level: scores[level][model] for level in LEVELS}
        for level, fitted in cells.items():
            if abs(fitted.r2 - expected) > tolerance:
                found.append(f"{model} {level}: R² {fitted.r2:.4f}, expected {expected}")
            if fitted.r_hat is not None and not fitted.r_hat < MOST_R_HAT:
                found.append(f"{model} {level}: R-hat {fitted.r_hat:.3f}")
        if expected < 0 and max(fitted.r2 for fitted in cells.values()) >= 0.3:
            found.append(f"{model}: the negative control has a score")
        found += disagreements(model, cells)
    for level in ("layers", "lift"):
        pair = {"sampled": scores[level]["6 amplitude"], "exact": scores[level][COLLAPSED]}
        found += disagreements(f"6, {level}", pair)
    return found


def disagreements(what, cells):
    """Pairs whose scores differ by more than four standard errors of their difference.

    Some 20 pairs: a false alarm in about a thousand runs, were the errors known exactly. They are
    estimated from few batches, so 0.0005 is allowed besides.
    """
    for a, b in itertools.combinations(cells, 2):
        gap = abs(cells[a].r2 - cells[b].r2)
        allowed = 4 * np.hypot(r2_error(cells[a]), r2_error(cells[b])) + 5e-4
        if gap > allowed:
            yield f"{what}: {a} and {b} differ by {gap:.4f}, allowed {allowed:.4f}"


def rows_of(scores):
    """The table: R² of each model at each level, the worst R-hat, seconds by level."""
    for model, expected in (EXPECTED | {COLLAPSED: 0.996}).items():
        cells = {level: scores[level].get(model) for level in LEVELS}
        there = [fitted for fitted in cells.values() if fitted is not None]
        r_hats = [fitted.r_hat for fitted in there if fitted.r_hat is not None]
        yield [
            model,
            f"{expected:.3f}",
            *("" if fitted is None else f"{fitted.r2:.3f}" for fitted in cells.values()),
            f"{max(r_hats):.2f}" if r_hats else "",
            " / ".join(
                "-" if fitted is None else f"{fitted.seconds:.0f}"
                for fitted in cells.values()
            ),
        ]


def picture(scores, path):
    """The seven models: the band of the first level, the means of all three."""
    import _master_class as shared

    x, truth = shared.X_TEST[:, 0], shared.curve(shared.X_TEST[:, 0])
    figure, axes = plt.subplots(
        2, 4, figsize=(11, 4.6), sharex=True, sharey=True, layout="constrained"
    )
    for ax, model in zip(axes.flat, EXPECTED, strict=False):
        ax.fill_between(
            x, *scores["by hand"][model].band, alpha=0.25, label="95% of new observations"
        )
        for level, style in zip(LEVELS, ("-", "--", ":"), strict=True):
            ax.plot(x, scores[level][model].mean[0], style, lw=1.6, label=f"mean, {level}")
        ax.plot(x, truth, "k", lw=0.7, label="truth")
        ax.plot(shared.X[:, 0], shared.Y, "k.", ms=2, label="data")
        ax.set_title(f"{model}: R² {scores['by hand'][model].r2:.3f}", fontsize=9)
    axes[0, 0].set_ylim(-0.7, 1.3)
    axes[1, 3].axis("off")
    axes[1, 3].legend(*axes[0, 0].get_legend_handles_labels(), loc="center", frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    scores = {}
    for level, page in LEVELS.items():
        scores[level] = run_page(page)
        print(level, *(f"{fitted.r2:.4f}" for fitted in scores[level].values()), flush=True)
    header = ["model", "expected R²", *LEVELS, "worst R-hat", "seconds"]
    keep("master_class", header, rows_of(scores))
    picture(scores, DOCS / "pictures" / "master_class.png")
    found = problems(scores)
    print(*found or ["All scores are as expected, and the levels agree."], sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
