"""Frozen random features with orthogonal frequencies."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey
from ...basis import paired_features
from ...distributions import HaarOrthogonal
from ._lengthscale import Lengthscale, check_lengthscale, checked_lengthscale


class OrthogonalRandomFeatures(eqx.Module):
    r"""Frozen cosines and sines whose frequencies are orthogonal in blocks.

    $$\phi(x) = M^{-1/2}\,[\cos(x W / \ell),\ \sin(x W / \ell)], \qquad
    W = [Q_1 S_1, Q_2 S_2, \dots],$$

    with orthogonal $Q_k$ from the Haar distribution and lengths $S_{k,j} \sim \chi_D$ on the
    diagonal, so that each frequency is marginally standard normal. The mean inner product is
    the squared exponential kernel; its variance is smaller than with independent frequencies.

    The frequencies are drawn once, by `init`, and never trained: this is a fixed map without
    sites.

    Args:
        in_features: Size of the last axis of the input, $D$.
        n_features: Number of frequencies $M$. If it is not a multiple of $D$, the last block is
            truncated.
        lengthscale: Lengthscale $\ell$, positive, in the units of the input; shape (in,) gives
            one for each input.
        W: Frequencies, (in, M). `init` draws them.

    Raises:
        ValueError: If a size or a lengthscale is not positive, if `W` has the wrong shape, or
            if the input's last axis is not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> features = OrthogonalRandomFeatures.init(3, 50, key=jax.random.key(0))
        >>> features(jnp.ones((5, 3))).shape
        (5, 100)

    References:
        Yu, Suresh, Choromanski, Holtmann-Rice, Kumar (2016), "Orthogonal random features",
        NeurIPS, section 3 and theorem 1.
    """

    in_features: int = setting(check=_checks.size)
    n_features: int = setting(check=_checks.size)
    lengthscale: Lengthscale = setting(check=checked_lengthscale)
    W: Float[Array, "d_in n_features"]

    def __check_init__(self) -> None:
        check_lengthscale("lengthscale", self.lengthscale, self.in_features)
        expected = (self.in_features, self.n_features)
        if jnp.shape(self.W) != expected:
            raise ValueError(
                f"`W` must have shape {expected} (in_features, n_features), got "
                f"{jnp.shape(self.W)}. `OrthogonalRandomFeatures.init` draws it."
            )

    @classmethod
    def init(
        cls,
        in_features: int,
        n_features: int,
        *,
        key: PRNGKey,
        lengthscale: Any = 1.0,
    ) -> "OrthogonalRandomFeatures":
        """Draw the frequencies with the random `key`."""
        in_features = _checks.size("in_features", in_features)
        n_features = _checks.size("n_features", n_features)
        blocks = math.ceil(n_features / in_features)
        key_q, key_s = random.split(key)
        q = HaarOrthogonal(in_features).sample(key_q, (blocks,))
        s = jnp.sqrt(random.chisquare(key_s, in_features, (blocks, 1, in_features)))
        columns = jnp.moveaxis(q * s, 0, 1).reshape(in_features, -1)
        return cls(in_features, n_features, lengthscale, columns[:, :n_features])

    @property
    def num_outputs(self) -> int:
        """Number of features per row, ``2 * n_features``."""
        return 2 * self.n_features

    def __call__(self, x: Num[ArrayLike, "*batch d_in"]) -> Float[Array, "*batch d_out"]:
        """The features of each row."""
        x = _checks.array("x", x)
        _checks.last_axis("x", x, "in_features", self.in_features)
        scaled = x / jnp.asarray(self.lengthscale, self.W.dtype)
        return paired_features(scaled @ lax.stop_gradient(self.W))
