"""JAX's random numbers on the host: keys are 64-bit numbers, hashed by Threefry."""

from collections.abc import Sequence

import numpy as np


def packed(words: np.ndarray) -> np.ndarray:
    """Keys from their two 32-bit words, on the last axis."""
    return joined(np.asarray(words[..., 0]), np.asarray(words[..., 1]))


def joined(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """64-bit numbers from two 32-bit words."""
    return np.asarray((high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64))


def parted(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two 32-bit words of 64-bit numbers."""
    high = np.asarray(numbers >> np.uint64(32)).astype(np.uint32)
    return np.asarray(high), np.asarray(numbers.astype(np.uint32))


def unpacked(keys: np.ndarray) -> np.ndarray:
    """The two 32-bit words of keys, on the last axis."""
    return np.stack(parted(keys), axis=-1)


def threefry(
    keys: np.ndarray, high: np.ndarray, low: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two words after 20 rounds (Salmon et al. 2011, "Parallel random numbers", SC11)."""
    first, second = parted(keys)
    words = first, second, first ^ second ^ np.uint32(0x1BD11BDA)
    x, y = high + words[0], low + words[1]
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(turn)) | (y >> np.uint32(32 - turn)))
        x = x + words[(group + 1) % 3]
        y = y + words[(group + 2) % 3] + np.uint32(group + 1)
    return np.asarray(x), np.asarray(y)


def counted(keys: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Two words for each entry of `shape`, for each key."""
    numbers = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.uint64).reshape(shape)
    return threefry(keys.reshape(*keys.shape, *[1] * len(shape)), *parted(numbers))
