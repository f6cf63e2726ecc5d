"""Orthogonal vectors that are the same on every machine."""

import numpy as np

# Values closer than this, relative to the largest, count as equal and share an eigenspace.
_SAME = 1e-9


def canonical(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Eigenvectors or singular vectors with reproducible signs and rotations.

    Saved draws are coordinates in these vectors, so they must not change. `values` ascend.
    """
    out, start = np.empty_like(columns), 0
    rows = np.arange(1, len(columns) + 1)[:, None]
    while start < len(values):
        stop = start + 1
        while stop < len(values) and values[stop] - values[start] < _SAME * values[-1]:
            stop += 1
        space = columns[:, start:stop]
        # Project fixed generic vectors onto the eigenspace.
        marks = np.cos(np.sqrt(2.0) * rows * rows[: stop - start].T)
        basis, triangle = np.linalg.qr(space @ (space.T @ marks))
        out[:, start:stop] = basis * np.where(np.diag(triangle) < 0, -1.0, 1.0)
        start = stop
    return out
