"""Fitted ensembles as ArviZ's data."""

from typing import Any

import numpy as np
from jaxtyping import Array


def inference_data(draws: dict[str, Array]) -> Any:
    """`InferenceData` of posterior draws (draws, members, ...), each member a chain.

    Raises:
        ImportError: If ArviZ is not installed.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError(
            "`to_arviz` needs ArviZ: pip install 'numpyro-bayeslayers[arviz]'."
        ) from error
    posterior = {name: np.moveaxis(np.asarray(x), 0, 1) for name, x in draws.items()}
    return arviz.from_dict(posterior=posterior)
