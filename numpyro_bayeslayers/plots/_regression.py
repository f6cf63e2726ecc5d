"""Plots of a regression: partial effects and coefficients."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _checks
from ._axes import (
    BLACK,
    BLUE,
    GRAY,
    axes,
    bands,
    draws_of,
    finish,
    position,
    probabilities,
    pyplot,
)

# The largest number of readable lines in one figure.
_MOST_LINES = 80
# Categories need room for their names.
_MOST_NAMES = 12


def plot_effects(
    effects: Mapping[str, Any],
    x: Mapping[str, Any],
    *,
    coverages: Sequence[float] = (0.5, 0.9),
    xlabels: Mapping[str, str] | None = None,
    ylabel: str = "effect on the prediction",
    ax: Any = None,
) -> Any:
    """Plot the partial effect of each term of a regression, with intervals, in panels.

    An effect is the contribution of a layer to the prediction, minus its mean over rows in each
    draw, because a contribution that is constant over rows belongs to the intercept. For
    numbers and dates it is a line with bands, for categories a dot with bars. Panels of a new
    figure share their y axis.

    Args:
        effects: Contribution of each term to each row, by name: draws (s, n) or (s, n, 1), as
            returned by `numpyro_bayeslayers.infer.layer_effects`.
        x: Input along which each effect is plotted, by name: numbers, dates or strings, (n,).
            Terms without an entry are omitted.
        coverages: Probabilities of central intervals, above 0 and below 1.
        xlabels: Label of each x axis, by name, with its unit; the default is the name.
        ylabel: Label of the y axes, with the unit of the prediction.
        ax: Axes of matplotlib, an array or list with one for each panel, or a single one; a new
            figure if None.

    Returns:
        An array of the axes.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If an effect is missing, shapes do not match, an entry is NaN, or there
            are too few axes.

    Example:
        >>> import numpy as np
        >>> effect = np.random.default_rng(0).normal(size=(50, 6))
        >>> axes = plot_effects({"age": effect}, {"age": np.arange(6.0)})
        >>> axes[0].get_xlabel()
        'age'
    """
    for name, given in {"effects": effects, "x": x}.items():
        _checks.instance(name, given, Mapping, "a mapping from names to values")
    if not x:
        raise ValueError("`x` must have at least one entry, got none.")
    for name in x:
        _checks.one_of("x", name, effects)
    levels = probabilities("coverages", coverages)
    panels = _panels(ax, len(x))
    drawn = {name: draws_of(f"effects[{name!r}]", effects[name]) for name in x}
    for panel, (name, along) in zip(panels, x.items(), strict=True):
        effect = drawn[name] - drawn[name].mean(axis=1, keepdims=True)
        where = f"x[{name!r}]"
        if _is_words(along):
            _categories(panel, where, np.asarray(along), effect, levels)
        else:
            at = position(where, along, effect.shape[1])
            order = np.argsort(at, kind="stable")
            bands(panel, at[order], effect[:, order], levels)
        panel.axhline(0.0, color=GRAY, lw=1, ls="--")
        label = (xlabels or {}).get(name) or getattr(along, "name", None) or name
        finish(panel, str(label), ylabel if panel is panels[0] else "", legend=False)
    panels[0].legend(frameon=False)
    return panels


def _is_words(values: Any) -> bool:
    found = np.asarray(values)
    return found.dtype.kind in "OUSTb" and not np.issubdtype(found.dtype, np.number)


def _categories(
    ax: Any, name: str, values: np.ndarray, effect: np.ndarray, levels: list[float]
) -> None:
    """Draw a dot for each category, whose rows all have the same effect."""
    if values.shape != (effect.shape[1],):
        raise ValueError(
            f"`{name}` must have one entry for each of the {effect.shape[1]} rows, got shape "
            f"{values.shape}."
        )
    names, where = np.unique(values.astype(str), return_inverse=True)
    each = np.stack([effect[:, where == i].mean(1) for i in range(len(names))], axis=1)
    at = np.arange(len(names))
    for i, p in enumerate(levels):
        low, high = np.quantile(each, [(1 - p) / 2, (1 + p) / 2], axis=0)
        label = f"{100 * p:g}% interval"
        ax.vlines(at, low, high, color=BLUE, lw=1.5 + 3 * i, alpha=0.45, label=label)
    ax.plot(at, np.median(each, axis=0), "o", color=BLUE, ms=4.5, label="median")
    ax.set_xlim(-0.5, len(names) - 0.5)
    turned = {"rotation": 45, "ha": "right"} if len("".join(names)) > 24 else {}
    step = -(-len(names) // _MOST_NAMES)
    ax.set_xticks(at[::step], names[::step], **turned)


def _panels(ax: Any, count: int) -> np.ndarray:
    if ax is None:
        columns = min(count, 3)
        rows = -(-count // columns)
        size = (max(4.0 * columns, 5.0), 3.4 * rows)
        made = pyplot().subplots(
            rows, columns, figsize=size, dpi=100, layout="constrained", sharey=True
        )[1]
        panels = np.ravel(made)
        for unused in panels[count:]:
            unused.set_visible(False)
        return panels[:count]
    panels = np.ravel(np.asarray(ax, dtype=object))
    if len(panels) != count:
        raise ValueError(
            f"`ax` must hold {count} axes, one for each effect, got {len(panels)}."
        )
    return np.array([axes(panel) for panel in panels], dtype=object)


def plot_forest(
    found: Any,
    *,
    sites: Sequence[str] | None = None,
    prob: float = 0.9,
    xlabel: str | None = None,
    ax: Any = None,
) -> Any:
    """Plot the posterior of coefficients, one line each, named by columns and levels.

    A dot is the median, and a bar is the interval between two quantiles.

    Args:
        found: A `Fit`, or the table that `Fit.summary` returns.
        sites: Prefixes of the entries to plot: the name of a layer, or a site such as
            ``"price.beta"``; all entries if None.
        prob: The probability of the interval, above 0 and below 1; ignored for a table, which
            has its own.
        xlabel: Label of the x axis, with its unit.
        ax: Axes of matplotlib; a new figure of suitable height if None.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib or pandas is not installed.
        TypeError: If `found` is neither a fit nor such a table.
        ValueError: If no entry has a given prefix, or there are too many entries to read.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame(
        ...     {"median": [0.3], "5%": [0.1], "95%": [0.6]}, index=["price.beta[age]"]
        ... )
        >>> ax = plot_forest(table)
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['price.beta[age]']
    """
    table = (
        found.summary(prob=_checks.share("prob", prob))
        if hasattr(found, "summary")
        else found
    )
    bounds = [c for c in getattr(table, "columns", ()) if str(c).endswith("%")]
    if len(bounds) != 2 or "median" not in table.columns:
        raise TypeError(
            "`found` must be a fit, or the table that its `summary` gives, got a "
            f"{type(found).__name__}."
        )
    if sites is not None:
        starts = _checks.sequence(_checks.label)("sites", sites)
        for start in starts:
            if not any(_begins(line, start) for line in table.index):
                raise ValueError(
                    f"`sites` must be prefixes of names in the table, got {start!r}. The names are "
                    f"{', '.join(map(str, table.index[:10]))}{', ...' * (len(table) > 10)}."
                )
        table = table[[any(_begins(line, s) for s in starts) for line in table.index]]
    if not 0 < len(table) <= _MOST_LINES:
        raise ValueError(
            f"`sites` must select 1 to {_MOST_LINES} entries, got {len(table)}. Name fewer sites."
        )
    at = np.arange(len(table))[::-1]
    low, median, high = (table[c].to_numpy(float) for c in (bounds[0], "median", bounds[1]))
    ax = axes(ax, (8.0, 1.2 + 0.28 * len(table)))
    share = float(str(bounds[1])[:-1]) - float(str(bounds[0])[:-1])
    ax.hlines(at, low, high, color=BLUE, lw=2.5, alpha=0.6, label=f"{share:g}% interval")
    ax.plot(median, at, "o", color=BLACK, ms=5, label="median")
    ax.axvline(0.0, color=GRAY, lw=1, ls="--")
    ax.set_yticks(at, [str(line) for line in table.index])
    ax.set_ylim(-0.7, len(table) - 0.3)
    finish(
        ax, "value" if xlabel is None else _checks.label("xlabel", xlabel), "", legend=False
    )
    ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def _begins(line: Any, start: str) -> bool:
    """Whether a name is `start`, or continues after it with a site or an entry."""
    rest = str(line).removeprefix(start)
    return str(line).startswith(start) and rest[:1] in ("", ".", "[")
