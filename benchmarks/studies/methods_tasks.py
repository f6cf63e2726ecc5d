"""The three problems on which all methods are laid side by side.

For each: rows of the fit, rows that score it, and the network that all methods share.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import rotate

ANGLES = (0, 15, 30, 45, 60, 75, 90)


class Task(NamedTuple):
    """A problem.

    Args:
        name: Its name.
        x: Inputs of the fit, (n, in).
        y: Observations.
        rows: Inputs that are predicted, all of them in one call.
        labels: Observations there; zero where nothing is scored.
        parts: Which of these rows are which, by name.
        sizes: Features, hidden units twice, outputs.
        batch_size: Rows in a step.
        num_draws: Draws of each posterior.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    parts: dict[Any, slice]
    sizes: tuple[int, ...]
    batch_size: int
    num_draws: int

    @property
    def has_classes(self) -> bool:
        """Whether labels are predicted."""
        return self.name != "line"


def together(parts):
    """Rows and labels of all parts, one after another, and where each is."""
    ends = np.cumsum([len(x) for x, _ in parts.values()])
    places = {
        name: slice(end - len(x), end)
        for (name, (x, _)), end in zip(parts.items(), ends, strict=True)
    }
    rows, labels = (np.concatenate(both) for both in zip(*parts.values(), strict=True))
    return rows, labels, places


def curve(x):
    return np.sin(3 * x) + 0.3 * x


def line():
    """60 rows of a curve with noise of 0.1, none of them between -0.4 and 0.8."""
    rng = np.random.default_rng(0)
    draw = lambda low, high, n: np.sort(rng.uniform(low, high, n))
    noisy = lambda x: (x[:, None], curve(x) + 0.1 * rng.normal(size=len(x)))
    sides = lambda n: np.r_[draw(-1.6, -0.4, n), draw(0.8, 1.6, n)]
    x, y = noisy(sides(30))
    grid = np.linspace(-2.6, 2.6, 209)
    rows = together(
        {
            "in": noisy(sides(150)),
            "out": noisy(
                np.r_[draw(-2.2, -1.7, 100), draw(-0.2, 0.6, 100), draw(1.7, 2.2, 100)]
            ),
            "grid": (grid[:, None], curve(grid)),
        }
    )
    return Task("line", x, y, *rows, (1, 32, 32, 1), 20, 400)


def two_moons(rng, n):
    angle = rng.uniform(0, np.pi, n)
    y = np.arange(n) % 2
    x = np.c_[np.cos(angle) + y - 0.5, np.sin(angle) * (1 - 2 * y) + 0.5 * y - 0.25]
    return 1.5 * (x + 0.15 * rng.standard_normal((n, 2))), y


def moons():
    """200 rows of two moons; far rows, which could be of either class, are "out"."""
    rng = np.random.default_rng(0)
    x, y = two_moons(rng, 200)
    many = rng.uniform(-6, 6, (4000, 2))
    away = np.sqrt(((many[:, None] - x) ** 2).sum(-1)).min(1)
    far = many[away > 1.5][:500]
    side = np.linspace(-6, 6, 49)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    nothing = lambda rows: (rows, np.zeros(len(rows), int))
    parts = {"in": two_moons(rng, 500), "out": nothing(far), "grid": nothing(grid)}
    return Task("moons", x, y, *together(parts), (2, 32, 32, 2), 50, 400)


def digits():
    """1,200 images of 8 x 8; the 597 others are turned by more and more."""
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, y = images[order] / 16, y[order]
    flat = lambda pictures: pictures.reshape(len(pictures), -1).astype(np.float32)
    test = images[1200:].reshape(-1, 8, 8)
    turned = lambda a: rotate(test, a, axes=(2, 1), reshape=False, order=1)
    parts = {a: (flat(turned(a)), y[1200:]) for a in ANGLES}
    return Task(
        "digits", flat(images[:1200]), y[:1200], *together(parts), (64, 64, 64, 10), 100, 64
    )


TASKS = {"moons": moons, "line": line, "digits": digits}
