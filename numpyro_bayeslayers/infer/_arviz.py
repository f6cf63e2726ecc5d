"""Fitted models as ArviZ's data, for ArviZ below 1 and from 1 on.

Below 1 it is an `InferenceData`, from 1 on a tree of xarray: both are mappings from groups
(``posterior``, ``sample_stats``) to what holds the draws, under the same names.
"""

from typing import Any

import numpy as np
from jaxtyping import Array


def inference_data(draws: dict[str, Array], mcmc: Any = None, chains: Any = None) -> Any:
    """ArviZ's data of posterior draws (draws, members, ...), each member a chain.

    Args:
        draws: By site.
        mcmc: NumPyro's, whose other groups (what the sampler noted, the observations) are
            taken over.
        chains: Which of its chains `draws` has; all if None.

    Raises:
        ImportError: If ArviZ is not installed.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError(
            "`to_arviz` needs ArviZ: pip install 'numpyro-bayeslayers[arviz]'."
        ) from error
    groups: dict[str, Any] = {
        "posterior": {name: np.moveaxis(np.asarray(x), 0, 1) for name, x in draws.items()}
    }
    # Below 1 the groups are the arguments of `from_dict`, from 1 on they are its first one.
    is_old = arviz.__version__.startswith("0.")
    found = arviz.from_dict(**groups) if is_old else arviz.from_dict(groups)
    if mcmc is not None:
        drawn = arviz.from_numpyro(mcmc, log_likelihood=False)
        for name in drawn:
            if name not in found:
                found[name] = _of_chains(drawn[name], chains)
    return found


def _of_chains(group: Any, chains: Any) -> Any:
    """A group without the chains that are left out, the others numbered anew."""
    if chains is None or np.all(chains) or "chain" not in group.dims:
        return group
    kept = group.isel(chain=np.flatnonzero(chains))
    return kept.assign_coords(chain=np.arange(np.sum(chains)))
