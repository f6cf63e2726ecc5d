"""Effects of the areas of a map."""

from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Integer

from ...primitives import Site, linear, sample
from ._areas import Areas
from ._call import named, on_categories
from ._coefficient import BASE, AbstractAdaptiveLayer, as_drawn, draw_components
from ._op import Categories
from ._prior import UNIT_SCALE, ZERO_LOC, Family, Keywords, Prior, within_unit

#: Favors shares near zero or one over intermediate ones.
MIXING: Keywords = MappingProxyType({"concentration1": 0.5, "concentration0": 0.5})


class BYM2Layer(AbstractAdaptiveLayer):
    r"""An effect for each area of a map, partly similar to those of its neighbors.

    $$y_n = \theta_{a_n}, \qquad \theta = \lambda \big(\sqrt{1 - \rho}\; v + \sqrt{\rho}\; u\big),
    \qquad v \sim N(0, I), \quad u \sim N(0, Q_*^-)$$

    for each unit, with $Q$ the Laplacian of the map, $Q_{ii} = \sum_j W_{ij}$ and
    $Q_{ij} = -W_{ij}$ (the intrinsic conditional autoregression), and $Q_*^-$ its generalized
    inverse, scaled so that the geometric mean of its diagonal is one: on every map, $\lambda$
    is the standard deviation of an area's effect, and $\rho$ the share of its variance that is
    spatial. Each connected part of the map is scaled separately, and $u$ sums to zero over it;
    an island (an area without neighbors) has variance $\lambda^2$ for every $\rho$.

    Call it as ``layer(name, area, units=1)`` with integers `area` of shape (n,), the rows of
    `adjacency`; the output has shape (n, units). Effects of areas without data are drawn given
    the others. Number the areas in the order of the map, not alphabetically:
    ``pandas.Categorical(names, categories=names_of_the_map)``.

    The sum of both parts, not each part separately, is drawn in the principal components of
    the map: this halves the number of latent variables and leaves few of them correlated.
    The components cost `c`² products.

    Args:
        adjacency: Symmetric matrix (c, c) of NumPy or SciPy: $W$, one where two areas are
            neighbors and zero elsewhere, or positive weights.
        scale_dist: Prior of $\lambda$, as in `AdaptiveLayer`.
        mixing_dist: Prior of $\rho$, from 0 to 1: a class, or a distribution. The default is
            Beta(0.5, 0.5).
        mixing_kwargs: Keywords of `mixing_dist`, if it is a class.
        scale_kwargs: The keywords of `scale_dist`.
        centered: False for weak data, True for strong data (many rows for each area), or a
            number between 0 and 1, as in `RandomWalkLayer`.

    Sites:
        ``scale`` (u,); ``mixing`` (u,), which is $\rho$; ``theta_base`` (c, u); deterministic
        ``theta`` (c, u), and ``spatial`` (c, u), the conditional expectation of the spatial
        part, $E[\lambda \sqrt{\rho}\, u \mid \theta]$: its mean over draws is the posterior
        mean of the spatial part, but its spread is smaller than the posterior's.

    Raises:
        ValueError: If `adjacency` is not square, symmetric, finite, or zero on its diagonal, or
            is negative anywhere; if a keyword is unknown, missing or out of range; if the
            support of the share exceeds 0 to 1; if an area is outside 0 to c - 1. Under `jit`,
            where areas are unknown when the program is traced, the compiled program raises.
        TypeError: If `area` does not hold integers.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from numpyro.handlers import seed
        >>> adjacency = np.zeros((4, 4))
        >>> for one, other in [(0, 1), (1, 2)]:  # area 3 is an island
        ...     adjacency[one, other] = adjacency[other, one] = 1
        >>> seed(BYM2Layer(adjacency), 0)("county", jnp.array([0, 3, 3])).shape
        (3, 1)

    References:
        Riebler, Sørbye, Simpson, Rue (2016), "An intuitive Bayesian spatial model for disease
        mapping that accounts for scaling", Statistical Methods in Medical Research 25, section
        3.4; Freni-Sterrantino, Ventrucci, Rue (2018), "A note on intrinsic conditional
        autoregressive models for disconnected graphs", Spatial and Spatio-temporal Epidemiology
        26, section 3.
    """

    adjacency: Areas = eqx.field(static=True)
    mixing_prior: Prior = eqx.field(static=True)

    def __init__(
        self,
        adjacency: Any,
        scale_dist: Family = dist.HalfNormal,
        mixing_dist: Family = dist.Beta,
        mixing_kwargs: Keywords = MIXING,
        scale_kwargs: Keywords = UNIT_SCALE,
        centered: bool | float = False,
    ) -> None:
        super().__init__(scale_dist, dist.Normal, ZERO_LOC, scale_kwargs, centered)
        self.adjacency = adjacency if isinstance(adjacency, Areas) else Areas(adjacency)
        self.mixing_prior = within_unit(
            Prior("mixing", mixing_dist, mixing_kwargs, MIXING, False), "mixing_dist"
        )

    @named
    def __call__(
        self, name: str, area: Integer[ArrayLike, "..."], units: int = 1
    ) -> Float[Array, "*batch n u"]:
        def rows(index: Array) -> Array:
            return linear(index, self._effects(units), op=Categories())

        return on_categories(rows, area, self.adjacency.count, name="area")

    def _effects(self, units: int) -> Site:
        scale = self._scale((units,), rank=2)
        share = sample("mixing", self.mixing_prior.over((units,)), rank=2)
        spatial = self.adjacency.variances.astype(scale.dtype)[:, None]
        deviation = scale * jnp.sqrt(1.0 - share + share * spatial)
        shape = self.adjacency.count, units
        base, factor = draw_components("theta", shape, deviation, self.centered)
        own = factor * base.value
        components = self.adjacency.components.astype(own.dtype)
        value: Any = numpyro.deterministic("theta", components @ own)
        # For each component, this is the sum of two independent normals of known variance.
        whole = 1.0 - share + share * spatial
        part = share * spatial / jnp.where(whole > 0, whole, 1.0)
        numpyro.deterministic("spatial", components @ (part * own))
        return as_drawn(Site(value, base.name.removesuffix(BASE), 2, base.infer))
