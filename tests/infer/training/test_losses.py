"""Losses are kept on the host, each fetched once."""

import numpy as np
import pytest

from numpyro_bayeslayers.infer.training._losses import Losses


def test_losses_of_chunks_come_after_each_other():
    """By step and member go in, with rows that are of no step; by member and step come out."""
    chunks = [np.arange(8.0).reshape(4, 2) + 10 * i for i in range(3)]
    losses = Losses(9, before=np.zeros((2, 2)))
    losses.add(chunks[0], 3)
    first = losses.so_far()
    losses.add(chunks[1], 1)
    losses.add(chunks[2], 2)
    found = losses.so_far()
    parts = np.zeros((2, 2)), chunks[0][:3], chunks[1][:1], chunks[2][:2]
    np.testing.assert_array_equal(found, np.concatenate(parts).T)
    np.testing.assert_array_equal(first, found[:, :5])
    assert np.shares_memory(first, found), "what was fetched is not copied again"
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1.0
