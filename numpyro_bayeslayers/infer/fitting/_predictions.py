"""Draws of what would be observed."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..training._effort import once


class Predictions(NamedTuple):
    """Draws of what would be observed, and their summaries.

    Args:
        mean: The mean over draws, in the shape of the observations.
        std: The standard deviation over draws, noise included.
        samples: The draws, (draws, rows, ...).

    Example:
        >>> import jax.numpy as jnp
        >>> draws = jnp.arange(5.0)[:, None] * jnp.ones(3)
        >>> Predictions(draws.mean(0), draws.std(0), draws).quantiles([0.25, 0.75]).shape
        (2, 3)
    """

    mean: Float[Array, "..."]
    std: Float[Array, "..."]
    samples: Num[Array, "draws ..."]

    @classmethod
    def of(cls, draws: Num[Array, "draws members ..."]) -> "Predictions":
        """Draws and their summaries, all members' alike."""
        return cls(*_summaries(draws))

    def quantiles(self, q: float | Sequence[float] | ArrayLike) -> Float[Array, "..."]:
        """The quantiles of each observation over draws.

        Args:
            q: A probability, or several: ``quantiles((0.05, 0.95))`` is a 90% interval.

        Returns:
            In the shape of the observations for one probability; with a first axis of them
            for several, so that ``low, high = predictions.quantiles((0.05, 0.95))``.

        Raises:
            TypeError: If `q` holds no numbers.
            ValueError: If a probability is not from 0 to 1.
        """
        probabilities = np.asarray(_checks.numbers("q", q), float)
        if not np.all((probabilities >= 0) & (probabilities <= 1)):
            raise ValueError(f"`q` must hold probabilities from 0 to 1, got {q}.")
        return jnp.quantile(self.samples.astype(float), jnp.asarray(probabilities), axis=0)


@once
def _summaries(draws: Array) -> tuple[Array, Array, Array]:
    """The mean, the standard deviation and the draws of all members, in one small program."""
    samples = draws.reshape(-1, *draws.shape[2:])
    values = samples.astype(float)
    return values.mean(0), values.std(0), samples
