"""The start of a fit at the result of another one."""

import functools
from typing import Any

import numpy as np

from ..ensembles._functions import EnsembleResult
from ..training._init import Found
from ._fitted import Fit

_DRAWS = 200


def start_of(init: Any) -> Any:
    """`init` in the form that methods take: for a fit, its parameters and posterior draws."""
    if not isinstance(init, Fit):
        return init
    was_sampled = isinstance(init.result, EnsembleResult)
    return Found(init.result if was_sampled else None, functools.partial(_values, init))


def _values(found: Fit, size: int) -> dict[str, Any]:
    """Values of the latent sites for a number of starts: draws of the posterior.

    A single start is the draw closest to the median of all. The median itself may lie outside
    the support: medians of probabilities, for example, need not sum to one.
    """
    draws = found.draws(num_samples=max(_DRAWS, size), all=True)
    latents = {n: draws[n] for n in found._problem.sites.latent if n in draws}
    flat = {n: np.asarray(x).reshape(-1, *x.shape[2:]) for n, x in latents.items()}
    count = min(map(len, flat.values()))
    if size > 1:
        places = np.linspace(0, count - 1, size).round().astype(int)
    else:
        places = [_central(flat, count)]
    return {name: x[places] for name, x in flat.items()}


def _central(flat: dict[str, Any], count: int) -> int:
    away = np.zeros(count)
    for x in flat.values():
        each = x[:count].reshape(count, -1).astype(float)
        spread = each.std(0)
        moved = np.abs(each - np.median(each, 0)) / np.where(spread > 0, spread, 1.0)
        away += (moved**2).sum(1)
    return int(away.argmin())
