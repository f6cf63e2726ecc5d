"""Hilbert-space approximations of Gaussian processes."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer, call_child
from ..._settings import setting
from ...primitives import Dense, DenseVector, linear, sample_site
from .._linear_normal import AbstractLinearNormal, LinearNormal
from ._kernel import AbstractKernel, Basis


class HSGPFeatures(AbstractRowLayer, AbstractLinearNormal):
    r"""A Gaussian process on a box, approximated by a fixed basis with random coefficients.

    $$f(x) = \sum_j \alpha_j\, S(\omega_j)^{1/2} \phi_j(x), \qquad \alpha_j \sim N(0, 1)$$

    with the eigenfunctions $\phi_j$ of the Laplacian on $\prod_d [-L_d, L_d]$, their
    frequencies $\omega_j$, and the kernel's spectral density $S$. The basis does not depend on
    the kernel's hyperparameters: a step costs $O(n M)$. Given the hyperparameters, the weights
    can be integrated out: see `marginal` and `condition`.

    Choose $L$ as 1.2 to 1.5 times the largest absolute value of the centered inputs, and $M$
    large enough that $j \pi / 2L$ at $j = M$ exceeds the relevant frequencies: about $3 / \ell$
    for the squared exponential kernel, and more for rough Matern kernels.

    Args:
        in_features: Size of the last axis of the input, $D$.
        num_basis_per_dim: Number of basis functions for each input, or one number for all inputs.
        L: Half-widths of the box, positive, in the units of the input: one for each input, or
            one for all.
        kernel: `RBFKernel`, `MaternKernel` or `PeriodicKernel`.
        out_features: Number of independent functions with this kernel; the axis of a single one
            is squeezed.
        name: Prefix of the sites; the default is ``"hsgp_features"``.

    Sites:
        ``kernel.variance`` and ``kernel.lengthscale``, unless they are fixed; ``alpha`` of
        event shape (num_basis,), or (num_basis, out) if there are several outputs.

    Raises:
        ValueError: If a size or half-width is not positive, if there are not as many of them as
            inputs, or if the input's last axis is not `in_features`.
        TypeError: If `kernel` is not a kernel, or a size is not an integer.

    Warns:
        UserWarning: If rows with known values lie outside the box; `infer.fit`, `run` and
            predictions check their data before compilation. At the end of `infer.fit`, if the
            basis is too coarse for the inferred lengthscale.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import MaternKernel
        >>> layer = HSGPFeatures.init(1, 20, 1.5, kernel=MaternKernel(), name="f")
        >>> seed(layer, 0)(jnp.linspace(-1, 1, 5)[:, None]).shape
        (5,)

    References:
        Solin and Särkkä (2020), "Hilbert space methods for reduced-rank Gaussian process
        regression", Statistics and Computing 30; Riutort-Mayol, Bürkner, Andersen, Solin,
        Vehtari (2023), "Practical Hilbert space approximate Bayesian Gaussian processes for
        probabilistic programming", Statistics and Computing 33, section 3.
    """

    in_features: int = setting(check=_checks.size)
    num_basis_per_dim: int | tuple[int, ...] = setting(check=_checks.each(_checks.size))
    L: float | tuple[float, ...] = setting(check=_checks.each(_checks.positive))
    kernel: AbstractKernel
    out_features: int = setting(check=_checks.size, default=1)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        _checks.instance("kernel", self.kernel, AbstractKernel, "a kernel of this library")
        for name in ("num_basis_per_dim", "L"):
            values = self._per_dim(getattr(self, name))
            if len(values) != self.in_features:
                raise ValueError(
                    f"`{name}` must be one number or one for each of the {self.in_features} "
                    f"inputs (`in_features`={self.in_features}), got {len(values)}."
                )
        self._frequencies()

    @classmethod
    def init(
        cls,
        in_features: int,
        num_basis_per_dim: Any,
        L: Any,
        *,
        kernel: AbstractKernel,
        name: str | None = None,
    ) -> "HSGPFeatures":
        """Create a layer with one output."""
        return cls(in_features, num_basis_per_dim, L, kernel, name=name)

    def _per_dim(self, value: Any) -> tuple[Any, ...]:
        return value if isinstance(value, tuple) else (value,) * self.in_features

    def _sides(self) -> Basis:
        return self._per_dim(self.num_basis_per_dim), self._per_dim(self.L)

    def _frequencies(self) -> np.ndarray:
        return self.kernel._frequencies(*self._sides())

    def _basis(self, x: Array) -> Array:
        return self.kernel._basis(x, *self._sides())

    @property
    def num_basis(self) -> int:
        """Number of coefficients per function."""
        return len(self._frequencies())

    def _forward(self, x: Num[ArrayLike, "*batch d_in"]) -> Float[Array, "*rest"]:
        out = super()._forward(x)
        return out[..., 0] if self.out_features == 1 else out

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        stds = call_child("kernel", self.kernel, self._frequencies(), self._sides())
        several = self.out_features > 1
        shape = [self.num_basis, self.out_features] if several else [self.num_basis]
        prior = dist.Normal(0.0, 1.0).expand(shape).to_event(len(shape))
        alpha = sample_site("alpha", prior)
        x = x.astype(jnp.result_type(float, x.dtype))
        # A column of the basis has the same standard deviation in all rows.
        phi = self._basis(x) * stds[..., None, :]
        return linear(phi, alpha, op=Dense() if several else DenseVector())

    def _linear_normal(self) -> LinearNormal:
        stds = call_child("kernel", self.kernel, self._frequencies(), self._sides())

        def features(x: Array) -> Array:
            _checks.last_axis("x", x, "in_features", self.in_features)
            x = x.astype(jnp.result_type(float, x.dtype))
            return self._basis(x) * stds[..., None, :]

        several = self.out_features > 1
        shape = (self.out_features,) * several + (self.num_basis,)
        return LinearNormal(
            features,
            jnp.zeros(shape),
            jnp.ones(shape[-1:]),
            lambda weights: {
                "alpha": jnp.swapaxes(weights, -1, -2) if several else weights
            },
        )
