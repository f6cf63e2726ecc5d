"""Convert fitted models to ArviZ data, for ArviZ below 1 and from 1 on.

Below 1 this is an `InferenceData`, from 1 on an xarray `DataTree`. Both map group names
(``posterior``, ``sample_stats``) to datasets with the same variable names. The groups are built
here as xarray datasets, since the two versions build them differently.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpyro

from .. import _processes

#: ArviZ's names of the axes of draws.
SAMPLE_DIMS = ("chain", "draw")


class Group(NamedTuple):
    """The arrays of a group and the names of their axes.

    Args:
        values: Arrays by name.
        dims: Names of the axes of some arrays; None for an axis without a name.
        coords: Labels of the entries along some axes.
        is_drawn: Whether the first two axes are those of chains and draws.
    """

    values: Mapping[str, Any]
    dims: Mapping[str, Sequence[str | None]] = {}
    coords: Mapping[str, Sequence[Any]] = {}
    is_drawn: bool = True


def inference_data(groups: Mapping[str, Group]) -> Any:
    """ArviZ data with these groups; empty groups are left out.

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
    divider = "/" if is_old else "."  # xarray's DataTree separates groups by slashes
    found = {name: _dataset(g, divider) for name, g in groups.items() if g.values}
    return arviz.InferenceData(**found) if is_old else xarray.DataTree.from_dict(found)


def of_members(draws: Mapping[str, Any]) -> Group:
    """A group of draws (draws, members, ...), with each member as a chain."""
    return Group(
        {name: np.moveaxis(_processes.whole(x), 0, 1) for name, x in draws.items()}
    )


def _dataset(group: Group, divider: str) -> Any:
    """An xarray Dataset; slashes in names are replaced by `divider`."""
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
