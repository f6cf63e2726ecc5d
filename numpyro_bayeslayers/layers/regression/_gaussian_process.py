"""Smooth effects of ordered categories."""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Integer

from ... import _checks
from ..._base import call_child
from ..._settings import setting
from ...primitives import linear
from ..features import MaternKernel
from ..features._kernel import AbstractKernel
from ._call import Activation, identity, named, on_categories
from ._coefficient import checked_centering, draw
from ._op import Categories
from ._prior import ZERO_LOC, Prior

# The least and the largest default number of basis functions.
_FEWEST, _MOST = 20, 500


class GaussianProcessEffectsLayer(eqx.Module):
    r"""An effect for each of many ordered categories: a Gaussian process over their order.

    $$y_n = a\Big(\sum_{j=1}^{M} \beta_j \phi_j(t_n)\Big), \qquad
    \beta_j \sim N\big(0, S(\omega_j)\big), \quad
    t_n = \frac{2 x_n}{\text{num\_categories} - 1} - 1$$

    with the eigenfunctions $\phi_j$ of the Laplacian on $[-L, L]$, their frequencies
    $\omega_j$, and the spectral density $S$ of the kernel: the index runs from -1 to 1, and
    lengthscales are in units of half its range. Call it as
    ``layer(name, x, num_categories, units=1, activation=identity)`` with integers `x` of
    shape (n,); the output has shape (n, units). Units share the kernel.

    Args:
        kernel: `RBFKernel`, `MaternKernel` or `PeriodicKernel`, with the priors of its
            hyperparameters.
        num_basis: Number of basis functions $M$. None chooses enough for the shortest plausible
            lengthscale under the prior (exceeded with probability 0.9999; 99.9% of the
            variance), or, if that is fewer, enough to resolve neighboring categories,
            $L\,(\text{num\_categories} - 1)$; at least 20 and at most 500. A prior that
            excludes very short lengthscales (`InverseGamma`) therefore makes the layer fast. If
            you choose the number, it should exceed about $2.6 L / \ell$ for the shortest
            lengthscale $\ell$ of interest (factor 3.4 for the rougher kernel $\nu = 3/2$, 1.75
            for the smoother squared exponential).
        boundary: Half-width $L$ of the box, above 1. To avoid boundary effects at the ends, use
            at least 1.2 for short lengthscales, and more for long ones.
        centered: False draws ``beta_base`` and scales it, True draws ``beta`` directly, and a
            number between 0 and 1 interpolates; the distribution of ``beta`` is the same.

    Sites:
        ``kernel.variance`` () and ``kernel.lengthscale`` (), unless they are fixed; ``beta``
        (M, u), deterministic with its ``beta_base`` unless `centered`.

    Raises:
        ValueError: If a size is not positive, `boundary` is not above 1, or a category is
            outside 0 to `num_categories` - 1. Under `jit`, where categories are unknown when
            the program is traced, the compiled program raises (`equinox.error_if`).
        TypeError: If `x` does not hold integers, or `kernel` is not a kernel.

    Warns:
        UserWarning: At the end of `infer.fit`, if the basis is too coarse for the inferred
            lengthscale.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(GaussianProcessEffectsLayer(), 0)("week", jnp.arange(5), 52).shape
        (5, 1)

    References:
        Riutort-Mayol, Bürkner, Andersen, Solin, Vehtari (2023), "Practical Hilbert space
        approximate Bayesian Gaussian processes for probabilistic programming", Statistics and
        Computing 33, sections 3 and 4.2.
    """

    kernel: AbstractKernel
    num_basis: int | None = setting(check=_checks.optional(_checks.size))
    boundary: float = setting(check=_checks.positive)
    centered: bool | float = setting(check=checked_centering)

    def __init__(
        self,
        kernel: AbstractKernel = MaternKernel(),
        num_basis: int | None = None,
        boundary: float = 1.5,
        centered: bool | float = False,
    ) -> None:
        _checks.instance("kernel", kernel, AbstractKernel, "a kernel of this library")
        self.kernel, self.num_basis, self.boundary = kernel, num_basis, boundary
        self.centered = centered

    def __check_init__(self) -> None:
        if not self.boundary > 1:
            raise ValueError(f"`boundary` must be above 1, got {self.boundary}.")

    @named
    def __call__(
        self,
        name: str,
        x: Integer[ArrayLike, "..."],
        num_categories: int,
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        step = 2.0 / max(num_categories - 1, 1)
        sides = (self._size(step),), (self.boundary,)

        def rows(index: Array) -> Array:
            frequencies = self.kernel._frequencies(*sides)
            scale = call_child("kernel", self.kernel, frequencies, sides)[..., None]
            prior = Prior("coef", dist.Normal, ZERO_LOC, ZERO_LOC, True)
            beta = draw("beta", prior, (len(frequencies), units), scale, self.centered)
            # If rows outnumber categories, evaluate at all categories and look up the rows.
            is_short = index.shape[-1] < num_categories
            place = (index if is_short else jnp.arange(num_categories)) * step - 1.0
            place = place.astype(jnp.result_type(float))
            out = linear(self.kernel._basis(place[..., None], *sides), beta)
            return out if is_short else Categories()(index, out)

        return activation(on_categories(rows, x, num_categories))

    def _size(self, step: float) -> int:
        if self.num_basis is not None:
            return self.num_basis
        return min(max(self.kernel._size(step, self.boundary), _FEWEST), _MOST)
