"""Plots of predictions, ensemble members and priors as functions of one input."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpyro.handlers import seed as seeded, trace

from .. import _checks
from .._threads import ALONE
from .._typing import Model, Seed
from ._axes import (
    BLACK,
    BLUE,
    axes,
    bands,
    column,
    dots,
    draws_of,
    finish,
    position,
    probabilities,
    words,
)

# The largest number of functions in a figure.
_MANY = 60


def plot_prediction(
    draws: Any,
    y: Any = None,
    *,
    x: Any = None,
    coverages: Sequence[float] = (0.5, 0.9),
    xlabel: str | None = None,
    ylabel: str | None = None,
    ax: Any = None,
) -> Any:
    """Plot prediction intervals along one input, with the observations.

    Args:
        draws: Draws of the prediction, (s, n), or the result of `Fit.predict`.
        y: Observations of these rows, if known.
        x: The input of each row, numbers or dates. If None, rows are sorted by their predicted
            median.
        coverages: Probabilities of central intervals, above 0 and below 1.
        xlabel: Label of the x axis, with its unit, such as ``"height (m)"``; the default is the
            name of `x` if it is a column of a table.
        ylabel: Label of the y axis, with its unit; the default is the name of `y` if it is a
            column of a table.
        ax: Axes of matplotlib; a new figure if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If an entry is not a real number, or a label is not a string.
        ValueError: If the shapes or the row labels of `x` and `y` do not match, an entry is NaN,
            or a probability is out of range.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0.0, 1.0, 20)
        >>> draws = x + np.random.default_rng(0).normal(size=(100, 20))
        >>> ax = plot_prediction(draws, x, x=x, xlabel="depth (m)", ylabel="heat (°C)")
        >>> ax.get_xlabel()
        'depth (m)'
    """
    found, levels = draws_of("draws", draws), probabilities("coverages", coverages)
    rows = found.shape[1]
    _checks.same_labels(x=x, y=y)
    place = np.arange(rows) + 1 if x is None else position("x", x, rows)
    order = np.argsort(np.median(found, axis=0) if x is None else place, kind="stable")
    at = place if x is None else place[order]
    known = None if y is None else column("y", y, rows)
    named = words(
        "xlabel", xlabel, x, "x" if x is not None else "rows, by predicted median"
    )
    ax = axes(ax)
    bands(ax, at, found[:, order], levels)
    if known is not None:
        dots(ax, at, known[order])
    return finish(ax, named, words("ylabel", ylabel, y, "y"))


def plot_members(
    members: Any,
    y: Any = None,
    *,
    x: Any,
    xlabel: str | None = None,
    ylabel: str | None = None,
    ax: Any = None,
) -> Any:
    """Plot the function of each member of an ensemble, and their mean.

    Args:
        members: The value of each member at each row, (members, n).
        y: Observations of these rows, if known.
        x: The input of each row, numbers or dates.
        xlabel: Label of the x axis, with its unit; the default is the name of `x` if it is a
            column of a table.
        ylabel: Label of the y axis, with its unit; the default is the name of `y` if it is a
            column of a table.
        ax: Axes of matplotlib; a new figure if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If an entry is not a real number, or a label is not a string.
        ValueError: If the shapes or the row labels of `x` and `y` do not match, or an entry is
            NaN.

    Example:
        >>> import numpy as np
        >>> ax = plot_members(np.array([[0.0, 1.0], [1.0, 0.0]]), x=[0.0, 1.0])
        >>> len(ax.lines)  # two members and their mean
        3
    """
    found = draws_of("members", members, 1)
    _checks.same_labels(x=x, y=y)
    at = position("x", x, found.shape[1])
    order = np.argsort(at, kind="stable")
    known = None if y is None else column("y", y, found.shape[1])
    ax = axes(ax)
    _functions(ax, at[order], found[:, order], f"{len(found)} members")
    ax.plot(at[order], found.mean(0)[order], color=BLACK, lw=2.2, label="their mean")
    if known is not None:
        dots(ax, at, known)
    return finish(ax, words("xlabel", xlabel, x, "x"), words("ylabel", ylabel, y, "y"))


def plot_prior(
    model: Model,
    x: Any,
    *,
    site: str | None = None,
    num_draws: int = 200,
    coverage: float = 0.9,
    seed: Seed = 0,
    y: Any = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    ax: Any = None,
    **data: Any,
) -> Any:
    """Plot functions drawn from the prior of a model.

    The figure shows at most sixty functions, and the interval of all draws at each row.

    Args:
        model: A NumPyro model or a layer, called as ``model(x, **data)``.
        x: Inputs, numbers (n,) or (n, 1), in any order.
        site: The site whose value is the function, one number for each row; None for the
            model's return value.
        num_draws: The number of draws, at least 2.
        coverage: The probability of the interval, above 0 and below 1.
        seed: A key or an integer.
        y: Observations of these rows, to check whether the prior covers them.
        xlabel: Label of the x axis, with its unit.
        ylabel: Label of the y axis, with its unit.
        ax: Axes of matplotlib; a new figure if None.
        data: Further arguments of the model.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If there is no such site, its value is not one number for each row, or a
            setting is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> layer = DenseReparameterization(1, 1, name="line")
        >>> ax = plot_prior(layer, jnp.linspace(-1.0, 1.0, 9)[:, None], num_draws=20)
        >>> len(ax.lines)
        20
    """
    num_draws, coverage = (
        _checks.size("num_draws", num_draws),
        _checks.share("coverage", coverage),
    )
    key = _checks.random_key("seed", seed)
    rows = np.shape(x)[0] if np.ndim(x) else 0
    at = column("x", x, rows)

    def draw(key: Any) -> Any:
        with ALONE:
            traced = trace(seeded(model, key))
            if site is None:
                return traced(x, **data)
            sites = traced.get_trace(x, **data)
            _checks.one_of(
                "site", site, [n for n, s in sites.items() if s["type"] != "param"]
            )
            return sites[site]["value"]

    drawn = jax.vmap(draw)(jax.random.split(key, num_draws))
    if not isinstance(drawn, jax.Array) or drawn.size != num_draws * rows:
        given = (
            f"values of shape {drawn.shape[1:]}"
            if isinstance(drawn, jax.Array)
            else f"a {type(drawn).__name__}"
        )
        raise ValueError(
            f"`site` must name a site with one number for each of the {rows} rows, got {given} "
            f"as {'the return value of the model' if site is None else f'the value of {site!r}'}."
        )
    found = draws_of("model", np.asarray(drawn).reshape(num_draws, rows))
    order = np.argsort(at, kind="stable")
    known = None if y is None else column("y", y, rows)
    ax = axes(ax)
    low, high = np.quantile(
        found[:, order], [(1 - coverage) / 2, (1 + coverage) / 2], axis=0
    )
    label = f"{100 * coverage:g}% of {num_draws} draws"
    ax.fill_between(at[order], low, high, color=BLUE, alpha=0.15, lw=0, label=label)
    _functions(ax, at[order], found[:_MANY, order], "draws of the prior")
    if known is not None:
        dots(ax, at, known)
    return finish(ax, words("xlabel", xlabel, x, "x"), words("ylabel", ylabel, y, "y"))


def _functions(ax: Any, x: np.ndarray, values: np.ndarray, label: str) -> None:
    alpha = max(0.25, min(0.8, 6 / len(values)))
    for i, line in enumerate(values):
        named = {"label": label} if i == 0 else {}
        ax.plot(x, line, color=BLUE, alpha=alpha, lw=1.0, **named)
