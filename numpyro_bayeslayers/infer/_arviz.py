"""Fitted models as ArviZ's data, for ArviZ below 1 and from 1 on.

Below 1 it is an `InferenceData`, from 1 on a tree of xarray: both are mappings from groups
(``posterior``, ``sample_stats``) to what holds the draws, under the same names. The groups are
made here, as tables of xarray, since the two have different ways to make them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpyro

from .. import _processes

#: What ArviZ calls the axes of draws.
SAMPLE_DIMS = ("chain", "draw")


class Group(NamedTuple):
    """Arrays of one kind, and what their axes are called.

    Args:
        values: The arrays by name.
        dims: The names of the axes of some, None for one without a name.
        coords: The names of the entries along some axes.
        is_drawn: Whether the first axes are those of draws, chains and draws of each.
    """

    values: Mapping[str, Any]
    dims: Mapping[str, Sequence[str | None]] = {}
    coords: Mapping[str, Sequence[Any]] = {}
    is_drawn: bool = True


def inference_data(groups: Mapping[str, Group]) -> Any:
    """ArviZ's data of these groups, but for those without arrays.

    Raises:
        ImportError: If ArviZ is not installed.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError(
            "`to_arviz` needs ArviZ: pip install 'numpyro-bayeslayers[arviz]'."
        ) from error
    import xarray

    is_old = arviz.__version__.startswith("0.")
    divider = "/" if is_old else "."  # a tree of xarray has slashes between its groups
    found = {name: _dataset(g, divider) for name, g in groups.items() if g.values}
    return arviz.InferenceData(**found) if is_old else xarray.DataTree.from_dict(found)


def of_members(draws: Mapping[str, Any]) -> Group:
    """Draws (draws, members, ...), each member a chain."""
    return Group(
        {name: np.moveaxis(_processes.whole(x), 0, 1) for name, x in draws.items()}
    )


def _dataset(group: Group, divider: str) -> Any:
    """A table of xarray, in whose names `divider` stands for slashes."""
    import xarray

    before = SAMPLE_DIMS if group.is_drawn else ()
    variables, sizes = {}, {}
    for name, value in group.values.items():
        array = _processes.whole(value)
        given = [*before, *group.dims.get(name, ())]
        axes = given + [None] * (array.ndim - len(given))
        title = name.replace("/", divider)
        dims = [
            f"{title}_dim_{i - len(before)}" if dim is None else dim
            for i, dim in enumerate(axes)
        ]
        variables[title] = (dims, array)
        sizes |= dict(zip(dims, array.shape, strict=True))
    coords = {dim: group.coords.get(dim, np.arange(size)) for dim, size in sizes.items()}
    attrs = {
        "inference_library": "numpyro",
        "inference_library_version": numpyro.__version__,
    }
    return xarray.Dataset(variables, coords, attrs)
