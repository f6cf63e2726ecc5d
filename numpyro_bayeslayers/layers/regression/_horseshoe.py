"""Many coefficients of which few matter: the horseshoe."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ...basis import interaction_features, pairwise_interactions
from ...primitives import line_up, linear, sample
from ._call import Activation, columns, identity, named, on_columns, on_pairs
from ._coefficient import checked_centering, draw
from ._prior import UNIT_SCALE, ZERO_LOC, Family, Keywords, Prior


class AbstractHorseshoeLayer(eqx.Module):
    """Draws coefficients of which most are near zero."""

    coef_prior: Prior = eqx.field(static=True)
    global_prior: Prior = eqx.field(static=True)
    slab_prior: Prior | None = eqx.field(static=True)
    centered: bool | float = setting(check=checked_centering)

    def __init__(
        self,
        slab_scale: float | None = None,
        slab_df: float = 4.0,
        coef_dist: Family = dist.Normal,
        coef_kwargs: Keywords = ZERO_LOC,
        global_scale: ArrayLike = 1.0,
        centered: bool | float = False,
    ) -> None:
        global_scale = _positive("global_scale", global_scale)
        slab_df = _checks.positive("slab_df", slab_df)
        if not isinstance(global_scale, float):
            global_scale = line_up(jnp.asarray(global_scale), 0, 1)
        self.global_prior = _ready("scale", dist.HalfCauchy, scale=global_scale)
        self.slab_prior = None
        if slab_scale is not None:
            slab_scale = _checks.positive("slab_scale", slab_scale)
            half = 0.5 * slab_df
            settings = {"concentration": half, "rate": half * slab_scale**2}
            self.slab_prior = _ready("scale", dist.InverseGamma, **settings)
        self.coef_prior = Prior("coef", coef_dist, coef_kwargs, ZERO_LOC, True)
        self.centered = centered

    def _product(self, x: Array, units: int) -> Array:
        shape = (x.shape[-1], units)
        scale = self._scale(shape)
        return linear(x, draw("beta", self.coef_prior, shape, scale, self.centered))

    def _scale(self, shape: tuple[int, int]) -> Array:
        tau = sample("tau", self.global_prior.over(shape[1:]), rank=2)
        local = dist.HalfCauchy(1.0).expand(shape).to_event(2)
        scale = tau * sample("lambda", local, rank=2)
        if self.slab_prior is None:
            return scale
        slab = jnp.sqrt(sample("c2", self.slab_prior.over(shape[1:]), rank=2))
        return slab * (scale / jnp.hypot(slab, scale))  # squares of scales may overflow


class HorseshoeLayer(AbstractHorseshoeLayer):
    r"""Linear terms with a horseshoe prior: most coefficients near zero, a few large.

    $$y = a(x \beta), \qquad \beta_{iu} \sim \text{coef\_dist}(\text{scale} = \tau_u
    \tilde\lambda_{iu}), \quad \tau_u \sim \mathcal{C}^+(0, \tau_0), \quad
    \lambda_{iu} \sim \mathcal{C}^+(0, 1)$$

    with $\tilde\lambda = \lambda$, or, with a slab of scale $s$ and $\nu$ degrees of
    freedom, regularized:

    $$\tilde\lambda^2 = \frac{c^2 \lambda^2}{c^2 + \tau^2 \lambda^2}, \qquad
    c_u^2 \sim \text{InverseGamma}(\nu / 2,\; \nu s^2 / 2)$$

    so that large coefficients are shrunk as by a Student t of scale $s$, rather than not at
    all. Call it as ``layer(name, x, units=1, activation=identity)`` with `x` of shape (n, d)
    and columns of similar spread; the output has shape (n, units).

    Args:
        slab_scale: Scale $s$ of the slab, in the units of the coefficients: the largest
            plausible coefficient. None for no slab.
        slab_df: Degrees of freedom $\nu$ of the slab.
        coef_dist: Prior of the coefficients: a class that takes `scale`, or a distribution,
            whose scale is then multiplied by the drawn one.
        coef_kwargs: Keywords of `coef_dist` other than `scale`.
        global_scale: Scale $\tau_0$, a number or a site of event shape (): see
            `expected_sparsity`.
        centered: False draws ``beta_base`` and scales it, True draws ``beta`` directly, and a
            number between 0 and 1 interpolates; the distribution of ``beta`` is the same.

    Sites:
        ``tau`` (u,); ``lambda`` (d, u); with a slab, ``c2`` (u,); ``beta`` (d, u),
        deterministic with its ``beta_base`` unless `centered`.

    Raises:
        ValueError: If a keyword is unknown, missing or out of range, or a scale or `slab_df`
            is not positive.
        TypeError: If the prior is not a distribution.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> tau0 = expected_sparsity(p0=5, d=200, n=100, sigma=1.0)
        >>> layer = HorseshoeLayer(slab_scale=2.0, global_scale=tau0)
        >>> seed(layer, 0)("genes", jnp.ones((100, 200))).shape
        (100, 1)

    References:
        Carvalho, Polson, Scott (2010), "The horseshoe estimator for sparse signals",
        Biometrika 97; Piironen and Vehtari (2017), "Sparsity information and regularization
        in the horseshoe and other shrinkage priors", Electronic Journal of Statistics 11,
        equations 2.8 and 2.10.
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        return activation(on_columns(lambda rows: self._product(rows, units), x))


class HorseshoeInteractionLayer(AbstractHorseshoeLayer):
    r"""Interactions with a horseshoe prior: most coefficients near zero, a few large.

    $$y = a\Big(\sum_{i < j} x_i x_j\, \beta_{ij}\Big) \quad\text{or}\quad
    y = a\Big(\sum_{ij} x_i z_j\, \beta_{ij}\Big)$$

    for each unit, with the prior of `HorseshoeLayer` over all pairs. Call it as
    ``layer(name, x, z=None, units=1, activation=identity)`` with `x` of shape (n, d) and
    columns of similar spread, for all pairs of its columns in the order
    $x_1 x_2, x_1 x_3, \dots, x_2 x_3, \dots$, or with `z` of shape (n, d2) for all pairs of a
    column of `x` and a column of `z`, as in `InteractionLayer`; the output has shape (n,
    units). Main effects are a separate term.

    Args:
        slab_scale: As in `HorseshoeLayer`, with all other arguments. For `expected_sparsity`,
            `d` is the number of pairs.

    Sites:
        ``tau`` (u,); ``lambda`` (p, u) for p pairs; with a slab, ``c2`` (u,); ``beta`` (p, u),
        deterministic with its ``beta_base`` unless `centered`.

    Raises:
        ValueError: As `HorseshoeLayer`; if `x` and `z` differ in rows; without `z`, if `x` has
            one column.
        TypeError: If the prior is not a distribution.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = HorseshoeInteractionLayer(slab_scale=2.0, global_scale=0.1)
        >>> seed(layer, 0)("pairs", jnp.ones((5, 4))).shape
        (5, 1)

    References:
        See `HorseshoeLayer`.
    """

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        z: Num[ArrayLike, "..."] | None = None,
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        if z is not None:
            grid = lambda x, z: self._product(pairwise_interactions(x, z), units)
            return activation(on_pairs(grid, x, z))
        count = columns("x", x).shape[-1]
        if count < 2:
            raise ValueError(
                "`x` must have two columns or more if `z` is not given, got 1."
            )
        pairs = np.stack(np.triu_indices(count, 1), axis=-1)
        own = lambda x: self._product(interaction_features(x, pairs), units)
        return activation(on_columns(own, x))


def _ready(role: str, family: type[dist.Distribution], **settings: Any) -> Prior:
    return Prior(role, family, settings, UNIT_SCALE, False)


def _positive(name: str, value: ArrayLike) -> ArrayLike:
    """Check that a number, or the value of a site (one for each plate cell), is positive."""
    if jnp.ndim(value) == 0:
        return _checks.positive(name, value)
    _checks.all_positive(name, value)
    return value


def expected_sparsity(p0: int | float, d: int, n: int, sigma: ArrayLike = 1.0) -> Any:
    r"""The global scale at which about `p0` of `d` coefficients are not shrunk to zero.

    $$\tau_0 = \frac{p_0}{d - p_0} \frac{\sigma}{\sqrt{n}}$$

    for columns of variance one.

    Args:
        p0: The expected number $p_0$ of relevant coefficients, between 0 and `d`.
        d: The number of coefficients.
        n: The number of rows.
        sigma: Standard deviation of the noise $\sigma$, positive; it may be a drawn site.
            For logistic regression use 2, see the reference.

    Raises:
        ValueError: If `p0` is not between 0 and `d`, or a number is not positive.

    Example:
        >>> round(expected_sparsity(p0=5, d=105, n=100, sigma=2.0), 6)
        0.01

    References:
        Piironen and Vehtari (2017), "Sparsity information and regularization in the horseshoe
        and other shrinkage priors", Electronic Journal of Statistics 11, equation 3.12 and,
        for other likelihoods, section 3.5.
    """
    d = _checks.size("d", d)
    n = _checks.size("n", n)
    p0 = _checks.positive("p0", p0)
    sigma = _positive("sigma", sigma)
    if not p0 < d:
        raise ValueError(
            f"`p0` must be below `d`={d}, got {p0}: not all coefficients can be relevant."
        )
    return p0 / (d - p0) / math.sqrt(n) * sigma
