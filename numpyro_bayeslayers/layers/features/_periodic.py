"""The periodic kernel, defined by its Fourier series."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import i0e
from jaxtyping import Array, ArrayLike, Float, Num
from scipy.special import ive

from ... import _checks
from ..._settings import setting
from ._kernel import (
    AbstractKernel,
    Basis,
    Hyperparameter,
    check_rank,
    checked_hyperparameter,
    hyperparameter,
)


class PeriodicKernel(AbstractKernel):
    r"""The periodic kernel of one input, defined by its Fourier coefficients.

    $$k(r) = \sigma^2 \exp\Big(-\frac{2 \sin^2(\pi r / p)}{\ell^2}\Big)
    = \sigma^2 \sum_{j=0}^{\infty} q_j^2 \cos\frac{2 \pi j r}{p}, \qquad
    q_j^2 = (2 - \delta_{j0})\, e^{-a} I_j(a),\quad a = \ell^{-2}$$

    With $M$ basis functions per dimension, `HSGPFeatures` has the cosines $j = 0..M-1$ and the
    sines $j = 1..M-1$: $2M - 1$ coefficients. There is no box: `L` is ignored.

    Args:
        variance: $\sigma^2$: a positive number (fixed), a distribution (its prior), or None for
            the prior LogNormal(0, 1).
        lengthscale: $\ell$, without units: a number, a distribution or None, as for `variance`.
        period: Period $p$, positive, in the units of the input. It is fixed: the
            posterior of a period has many modes.
        name: Prefix of the sites inside the layer that holds the kernel; the default is
            ``"kernel"``.

    Sites:
        ``variance`` and ``lengthscale`` of event shape (), unless they are fixed.

    Raises:
        TypeError: If the frequencies are traced: they must be known before compilation.
        ValueError: If a fixed value or the period is not positive, if a prior is not
            univariate, or if the layer has several inputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(PeriodicKernel(period=7.0), 0)(jnp.arange(3)[:, None]).shape
        (3,)

    References:
        Solin and Särkkä (2014), "Explicit link between periodic covariance functions and
        state space models", AISTATS, section 3.4.
    """

    variance: Hyperparameter = setting(
        check=checked_hyperparameter, default=None, static=False
    )
    lengthscale: Hyperparameter = setting(
        check=checked_hyperparameter, default=None, static=False
    )
    period: float = setting(check=_checks.positive, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        check_rank("variance", self.variance, 0)
        check_rank("lengthscale", self.lengthscale, 0)
        if isinstance(self.lengthscale, tuple):
            raise ValueError(
                f"`lengthscale` must be one number, got {self.lengthscale}: the periodic "
                "kernel has one input."
            )

    def _forward(
        self, frequencies: Num[ArrayLike, "k one"], basis: Basis | None = None
    ) -> Float[Array, "*plates k"]:
        """Standard deviations of the coefficients of the harmonics $j$, (k, 1)."""
        found = _checks.numbers("frequencies", frequencies)
        if isinstance(found, jax.core.Tracer):
            raise TypeError(
                "`frequencies` must be known when the program is traced, got a traced array: "
                "pass a NumPy array that is not an argument of the compiled function."
            )
        found = np.asarray(found)
        if found.ndim != 2 or not found.size:
            raise ValueError(f"`frequencies` must be (k, 1), got shape {found.shape}.")
        harmonics = found[:, 0].astype(int)
        variance = hyperparameter("variance", self.variance, rank=1)
        lengthscale = hyperparameter("lengthscale", self.lengthscale, rank=1)
        self._look(lengthscale, basis)
        log_bessel = _log_scaled_bessel(int(harmonics.max()), lengthscale**-2)
        # The orders are the first axis; plates of the lengthscale end in a singleton axis.
        logs = jnp.moveaxis(log_bessel[harmonics], 0, -1)
        logs = logs[..., 0, :] if lengthscale.ndim else logs
        logs += np.where(harmonics == 0, 0.0, math.log(2))
        return jnp.exp(0.5 * (jnp.log(variance) + logs))

    def _frequencies(
        self, num_basis_per_dim: Sequence[int], L: Sequence[float]
    ) -> np.ndarray:
        if len(num_basis_per_dim) != 1:
            raise ValueError(
                "PeriodicKernel has one input, but `in_features`="
                f"{len(num_basis_per_dim)}. Add one layer for each periodic input."
            )
        (m,) = num_basis_per_dim
        return np.concatenate([np.arange(m), np.arange(1, m)])[:, None]

    def _basis(
        self, x: Array, num_basis_per_dim: Sequence[int], L: Sequence[float]
    ) -> Array:
        (m,) = num_basis_per_dim
        angle = x * (2 * math.pi / self.period) * np.arange(m, dtype=x.dtype)
        return jnp.concatenate([jnp.cos(angle), jnp.sin(angle[..., 1:])], -1)

    def _resolving(self, step: float, L: float) -> int:
        return math.ceil(self.period / (2 * step)) + 1

    def _shares(self, lengthscale: float, num_basis: int) -> np.ndarray:
        orders, a = np.arange(num_basis), lengthscale**-2
        return np.cumsum(np.where(orders == 0, 1, 2) * ive(orders, a))

    def _share(self, lengthscale: float, num_basis: int, L: float) -> float:
        return float(self._shares(lengthscale, num_basis)[-1])

    def _needed(self, lengthscale: float, L: float, share: float = 0.99) -> int:
        # For large a, the orders are approximately normal with variance a.
        most = 8 + math.ceil(8 / lengthscale)
        return int(np.searchsorted(self._shares(lengthscale, most), share)) + 1


def _log_scaled_bessel(max_order: int, a: Array) -> Array:
    r"""Log of exp(-a) I_j(a) for the orders j = 0..max_order, on a new first axis.

    Ratios r_j = I_j / I_{j-1} follow from r_j = a / (2 j + a r_{j+1}), a recursion that is
    stable downward and starts at Amos' lower bound.
    """
    top = max_order + 32
    start = a / (top + 0.5 + jnp.sqrt(jnp.square(a) + (top + 1.5) ** 2))

    def down(ratio: Array, order: Array) -> tuple[Array, Array]:
        ratio = a / (2 * order + a * ratio)
        return ratio, ratio

    orders = jnp.arange(top, 0, -1, dtype=start.dtype)
    _, ratios = lax.scan(down, start, orders)
    logs = jnp.log(ratios[::-1][:max_order])
    first = jnp.log(i0e(a))[None]
    return jnp.concatenate([first, first + jnp.cumsum(logs, 0)])
