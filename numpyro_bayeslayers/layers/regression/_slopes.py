"""Slopes that vary between groups."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Integer, Num

from ... import _checks
from ..._base import on_rows
from ..._settings import setting
from ...primitives import NewGroups, Site, linear, sample, sample_site
from ._call import columns, looked_up, named
from ._coefficient import BASE, AbstractAdaptiveLayer
from ._op import Slopes
from ._prior import UNIT_SCALE, ZERO_LOC, Family, Keywords


class RandomSlopesLayer(AbstractAdaptiveLayer):
    r"""Slopes that vary between groups, independent or correlated within a group.

    $$y_{nu} = \sum_d x_{nd}\, \theta_{g_n d u}, \qquad
    \theta_{g \cdot u} = \mu + \operatorname{diag}(\lambda_{\cdot u})\, L_u\, b_{g \cdot u}, \qquad
    \lambda_{du} \sim \text{scale\_dist}, \quad b_{gdu} \sim N(0, 1)$$

    with $L_u$ the identity, or with `correlated` a Cholesky factor of the correlations
    $R_u = L_u L_u^\top \sim \text{LKJ}(\eta)$ of the columns' slopes. A column of ones is a
    varying intercept. Independent slopes need not be normal.

    Call it as ``layer(name, x, group, num_categories, units=1)`` with `x` of shape (n, d), or
    (n,) for one column, and integers `group` of shape (n,); the output has shape (n, units).
    The population slopes are a separate term: an `AdaptiveLayer` of the same columns.

    Args:
        scale_dist: As in `AdaptiveLayer`, as are `coef_kwargs` and `scale_kwargs`.
        coef_dist: As in `AdaptiveLayer`; Normal if the slopes are correlated.
        centered: As in `AdaptiveLayer`; False if the slopes are correlated.
        correlated: Whether the slopes of a group are correlated.
        concentration: Concentration $\eta$ of the LKJ prior, positive: 1 for a uniform prior
            over correlation matrices, above 1 to favor weak correlations.

    Sites:
        ``scale`` (d, u); ``theta`` (c, d, u), deterministic with its ``theta_base`` unless
        `centered`; if correlated, ``cholesky`` (u, d, d) and deterministic ``correlation``
        (u, d, d). In predictions for new levels: ``theta_new`` (k, d, u).

    Raises:
        ValueError: As `AdaptiveLayer`; if a category is outside 0 to `num_categories` - 1
            (under `jit`, the compiled program raises); if `x` and `group` differ in rows; if
            correlated slopes are not normal or are centered.
        TypeError: If `group` does not hold integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> day = jnp.arange(6.0)
        >>> x = jnp.stack([jnp.ones(6), day], 1)  # an intercept and a slope for each subject
        >>> subject = jnp.array([0, 0, 0, 1, 1, 1])
        >>> layer = RandomSlopesLayer(correlated=True)
        >>> seed(layer, 0)("subject", x, subject, num_categories=2).shape
        (6, 1)

    References:
        Gelman and Hill (2007), "Data analysis using regression and multilevel/hierarchical
        models", section 13.1; Lewandowski, Kurowicka, Joe (2009), "Generating random
        correlation matrices based on vines and extended onion method", Journal of
        Multivariate Analysis 100.
    """

    correlated: bool = setting(check=_checks.switch)
    concentration: float = setting(check=_checks.positive)

    def __init__(
        self,
        scale_dist: Family = dist.HalfNormal,
        coef_dist: Family = dist.Normal,
        coef_kwargs: Keywords = ZERO_LOC,
        scale_kwargs: Keywords = UNIT_SCALE,
        centered: bool | float = False,
        correlated: bool = False,
        concentration: float = 1.0,
    ) -> None:
        super().__init__(scale_dist, coef_dist, coef_kwargs, scale_kwargs, centered)
        self.correlated = correlated
        self.concentration = concentration

    def __check_init__(self) -> None:
        if not self.correlated:
            return
        if self.coef_prior.family is not dist.Normal:
            raise ValueError(
                "`coef_dist` must be Normal for correlated slopes, got "
                f"{self.coef_prior.family.__name__}. Give `correlated=False`."
            )
        if self.centered:
            raise ValueError(
                f"`centered` must be False for correlated slopes, got {self.centered!r}."
            )

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        group: Integer[ArrayLike, "..."],
        num_categories: int,
        units: int = 1,
    ) -> Float[Array, "*batch n u"]:
        x = columns("x", x)
        index, new = looked_up("group", group, num_categories)
        if x.shape[-2] != index.shape[-1]:
            raise ValueError(
                f"`group` must have one entry for each row of `x`, got shapes {index.shape} "
                f"and {x.shape}."
            )
        shape = num_categories, x.shape[-1], units

        def rows(x: Array, index: Array) -> Array:
            theta = self._slopes(shape, new)
            return jnp.einsum("...nd,...ndu->...nu", x, linear(index, theta, op=Slopes()))

        if x.ndim == 2 and index.ndim == 1:
            return rows(x, index)
        batch = jnp.broadcast_shapes(x.shape[:-1], index.shape)
        both = [jnp.broadcast_to(a, (*batch, a.shape[-1])) for a in (index[..., None], x)]
        both = jnp.concatenate([both[0].astype(x.dtype), both[1]], -1)
        apart = lambda r: rows(r[..., 1:], r[..., 0].astype(index.dtype))
        return on_rows(apart, both, both.shape[-1])

    def _slopes(self, shape: tuple[int, int, int], new: NewGroups | None) -> Site:
        _, d, units = shape
        scale = self._scale((d, units), rank=3)
        if not self.correlated or d < 2:
            theta = self._coefficients("theta", shape, scale)
            return theta if new is None else self._beside(theta, "theta", new, scale)
        law = dist.LKJCholesky(d, self.concentration).expand([units]).to_event(1)
        root = sample("cholesky", law)
        numpyro.deterministic("correlation", root @ jnp.swapaxes(root, -1, -2))
        own = self._mixed("theta", shape, scale, root)
        if new is None:
            return own
        others: Any = jnp.asarray(self.coef_prior.loc) + jnp.zeros((new.count, d, units))
        if new.law == "draw":
            others = self._mixed("theta_new", (new.count, d, units), scale, root).value
        plates = own.value.shape[:-3]
        both = own.value, jnp.broadcast_to(others, plates + others.shape[-3:])
        return own._replace(value=jnp.concatenate(both, axis=-3))

    def _mixed(
        self, name: str, shape: tuple[int, int, int], scale: Array, root: Array
    ) -> Site:
        """Correlated slopes: parts of an output cannot be drawn independently."""
        prior = self.coef_prior
        base = sample_site(name + BASE, prior.over(shape, loc=0.0, scale=1.0))
        mixed = jnp.einsum("...ude,...ceu->...cdu", root, base.value)
        value: Any = numpyro.deterministic(name, prior.loc + prior.factor * scale * mixed)
        return Site(value, base.name.removesuffix(BASE), 3, base.infer)
