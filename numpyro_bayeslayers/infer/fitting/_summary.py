"""A table of the posterior."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array

from ... import _checks
from ._chain_figures import effective_sizes, split_r_hats
from ._labels import line


def check_pandas() -> Any:
    """Import pandas.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "`summary` needs pandas: pip install 'numpyro-bayeslayers[estimators]'."
        ) from error
    return pandas


def summary_of(
    draws: Mapping[str, Array],
    prob: float,
    labels: Any,
    *,
    are_chains: bool,
    header: Mapping[str, Any],
) -> Any:
    """One row for each entry of each site; see `Fit.summary`.

    Args:
        draws: By site name, (chains, draws, *site).
        prob: The probability between the two quantiles.
        labels: Names of entries along axes of sites, from `labels_of`.
        are_chains: Whether the draws within a chain are correlated.
        header: The table's `attrs`.
    """
    pandas = check_pandas()
    prob = _checks.share("prob", prob)
    low, high = (1 - prob) / 2, (1 + prob) / 2
    lines, table = [], []
    for name, value in draws.items():
        x = np.asarray(value, float)
        flat = x.reshape(-1, *x.shape[2:])
        columns = {
            "mean": flat.mean(0),
            "std": flat.std(0),
            "median": np.median(flat, 0),
            f"{100 * low:g}%": np.quantile(flat, low, 0),
            f"{100 * high:g}%": np.quantile(flat, high, 0),
        }
        if are_chains:
            figures = {"n_eff": effective_sizes, "r_hat": split_r_hats}
            found = {key: figure({name: x}) for key, figure in figures.items()}
            columns |= {key: value[name] for key, value in found.items() if value}
        for at in np.ndindex(x.shape[2:]):
            lines.append(line(name, x.shape[2:], at, labels))
            table.append({key: float(np.asarray(v)[at]) for key, v in columns.items()})
    found = pandas.DataFrame(table, index=pandas.Index(lines, name="site"))
    found.attrs |= header
    return found
