"""Maps of neighboring areas, and the principal components of smooth effects on them."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import issparse
from scipy.sparse.csgraph import connected_components

from ... import _checks
from ._canonical import canonical


class Areas:
    """A map of neighboring areas, compared and hashed by value.

    Args:
        adjacency: Symmetric weights of neighbors, (c, c), zero where areas are not neighbors.

    Raises:
        ValueError: If the matrix is not square, not symmetric, negative or not finite, or has
            entries on its diagonal.
        TypeError: If it does not hold numbers.

    Attributes:
        components: Orthonormal columns, (c, c).
        variances: The variance of each component under the scaled intrinsic autoregression:
            zero for the level of each connected part, one for an island.
    """

    def __init__(self, adjacency: Any) -> None:
        weights = _checked_adjacency(adjacency)
        self.count = len(weights)
        self._key = weights.tobytes()
        self.components, self.variances = _components(weights)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Areas) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Areas(count={self.count})"


def _checked_adjacency(adjacency: Any) -> Float[np.ndarray, "c c"]:
    if issparse(adjacency):
        adjacency = adjacency.toarray()
    weights = np.asarray(_checks.reals("adjacency", adjacency), np.float64)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or not weights.size:
        raise ValueError(
            "`adjacency` must be a square matrix, one row for each area, got shape "
            f"{weights.shape}."
        )
    for is_wrong, what in (
        (~np.isfinite(weights) | (weights < 0), "zero or positive and finite"),
        (weights != weights.T, "symmetric: neighborhood is mutual"),
        (np.diag(np.diag(weights)) != 0, "zero on its diagonal: no area is next to itself"),
    ):
        if is_wrong.any():
            i, j = np.argwhere(is_wrong)[0]
            raise ValueError(
                f"`adjacency` must be {what}, got {weights[i, j]:g} for areas {i} and {j}, and "
                f"{weights[j, i]:g} for {j} and {i}."
            )
    return weights


def _components(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components of each connected part, scaled to a geometric mean variance of one."""
    count, part = connected_components(weights != 0, directed=False)
    vectors, variances = np.zeros_like(weights), np.ones(len(weights))
    for members in (np.flatnonzero(part == k) for k in range(count)):
        if len(members) == 1:
            vectors[members, members] = 1.0
            continue
        own = weights[np.ix_(members, members)]
        values, columns = np.linalg.eigh(np.diag(own.sum(1)) - own)
        columns = canonical(values, columns)
        inverse = np.concatenate([[0.0], 1.0 / values[1:]])
        marginal = np.square(columns) @ inverse
        vectors[np.ix_(members, members)] = columns
        variances[members] = inverse / np.exp(np.mean(np.log(marginal)))
    return vectors, variances
