"""Fourier features of given periods, accurate for large times."""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from ._fourier import as_float, waves

# One number for each period, known before a program is compiled.
Numbers: TypeAlias = Sequence[float | int] | np.ndarray


def seasonal_frequencies(
    periods: Numbers, harmonics: Numbers
) -> tuple[list[int], list[float]]:
    r"""The harmonics of each period and their frequencies.

    For each period $\tau$ with $H$ harmonics, $h / \tau$ for $h = 1 \dots H$.

    Args:
        periods: Periods $\tau$, positive, in units of time.
        harmonics: How many harmonics $H$ each period has; zero for none.

    Returns:
        The numbers $h$ and the frequencies, both of length $\sum H$.

    Raises:
        ValueError: If the lengths differ, a period is not positive or a count is negative.
        TypeError: If a count is not an integer.

    Example:
        >>> seasonal_frequencies([4.0, 10.0], [2, 1])
        ([1, 2, 1], [0.25, 0.5, 0.1])
    """
    numbers, frequencies = exact_frequencies(periods, harmonics)
    return numbers, [float(f) for f in frequencies]


def seasonal_features(
    x: Num[ArrayLike, "*batch"],
    periods: Numbers,
    harmonics: Numbers,
    *,
    rescale: bool = False,
) -> Float[Array, "*batch m"]:
    r"""Cosines and sines of each period's harmonics.

    $$\cos(2\pi h x / \tau), \; h = 1 \dots H \text{ of each period}, \quad\text{then}\quad
    \sin(2\pi h x / \tau)$$

    The phases are reduced to one cycle exactly, so the features are as accurate at a time of
    four million as near zero, in single and in double precision.

    Args:
        x: Times, of any shape, usually (N,), in the units of the periods.
        periods: Periods $\tau$, positive.
        harmonics: How many harmonics $H$ each period has; zero for none.
        rescale: Whether to divide the features of harmonic $h$ by $h$.

    Returns:
        The features on a new last axis of size $2 \sum H$.

    Raises:
        ValueError: If the lengths differ, a period is not positive or a count is negative.
        TypeError: If a count is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> seasonal_features(jnp.array([1.0, 4_000_001.0]), [8], [1]).round(3).tolist()
        [[0.707..., 0.707...], [0.707..., 0.707...]]

    References:
        Saad, Burnim, Carroll, Patton, Köster, Saurous, Hoffman (2024), "Scalable
        spatiotemporal prediction with Bayesian neural fields", Nature Communications 15,
        methods.
    """
    rescale = _checks.switch("rescale", rescale)
    numbers, frequencies = exact_frequencies(periods, harmonics)
    return exact_waves(as_float(x), tuple(numbers), tuple(frequencies), rescale)


def exact_frequencies(
    periods: Numbers, harmonics: Numbers
) -> tuple[list[int], list[Fraction]]:
    """`seasonal_frequencies` without rounding."""
    periods = _checks.sequence(_checks.positive)("periods", periods)
    harmonics = _checks.sequence(_checks.count)("harmonics", harmonics)
    check_seasons("periods", periods, "harmonics", harmonics)
    pairs = [
        (h, Fraction(h) / Fraction(period))
        for period, count in zip(periods, harmonics, strict=True)
        for h in range(1, count + 1)
    ]
    return [h for h, _ in pairs], [f for _, f in pairs]


def check_seasons(name: str, periods: Numbers, counts_name: str, counts: Numbers) -> None:
    """Check that there is one count for each period."""
    if len(periods) != len(counts):
        raise ValueError(
            f"`{counts_name}` must have one entry for each of `{name}`, got {len(counts)} "
            f"for {len(periods)} periods."
        )


@partial(jax.jit, static_argnums=(1, 2, 3))
def exact_waves(
    x: Float[Array, "*batch"],
    numbers: tuple[int, ...],
    frequencies: tuple[Fraction, ...],
    rescale: bool,
) -> Float[Array, "*batch m"]:
    """The features of harmonics at times, from their exact frequencies."""
    return waves(_phases(x, frequencies), numbers, rescale)


def _phases(
    x: Float[Array, "*batch"], frequencies: tuple[Fraction, ...]
) -> Float[Array, "*batch f"]:
    """The fractional cycles of the products of times and frequencies, in [-1/2, 1/2].

    Both factors are split into pieces of half the significand, so that each product is exact
    and so is its distance to the nearest whole number; only the sum of these distances is
    rounded. Four pieces of a frequency are right for every time below 2**24 (2**53).
    """
    kind = jnp.finfo(x.dtype)
    bits = (kind.nmant + 1) // 2
    high = jax.lax.reduce_precision(x, kind.nexp, bits - 1)
    pieces = [jax.lax.stop_gradient(p)[..., None] for p in (high, x - high)]
    total = jnp.zeros(x.shape + (len(frequencies),), x.dtype)
    for chunk in np.array([_chunks(f, bits) for f in frequencies]).reshape(-1, 4).T:
        for piece in pieces:
            product = piece * chunk.astype(x.dtype)
            total = total + (product - jnp.round(product))
            total = total - jnp.round(total)
    # Zero, but with the gradient that splitting into pieces would lose.
    slope = np.array([float(f) for f in frequencies], x.dtype)
    return total + (x - jax.lax.stop_gradient(x))[..., None] * slope


def _chunks(number: Fraction, bits: int) -> list[float]:
    """Four numbers of at most `bits` significant bits whose sum is nearly `number`."""
    chunks = []
    for _ in range(4):
        exponent = math.frexp(float(number))[1] - bits
        chunk = round(number / Fraction(2) ** exponent) * Fraction(2) ** exponent
        chunks.append(float(chunk))
        number -= chunk
    return chunks
