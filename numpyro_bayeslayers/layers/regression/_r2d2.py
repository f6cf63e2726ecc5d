"""Coefficients with a prior on the share of explained variance."""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._settings import setting
from ...primitives import line_up, linear, sample, sample_site
from ._call import Activation, identity, named, on_columns
from ._coefficient import checked_centering, draw
from ._prior import ZERO_LOC, Family, Keywords, Prior


class R2D2Layer(eqx.Module):
    r"""Linear terms with a prior on $R^2$, the share of variance that they explain.

    $$y = a(x \beta), \qquad \beta_{iu} \sim \text{coef\_dist}\Big(\text{scale} = \sigma
    \sqrt{\varphi_{ui}\, \tfrac{R_u^2}{1 - R_u^2}}\Big), \quad
    R_u^2 \sim \text{Beta}(m k, (1 - m) k), \quad
    \varphi_u \sim \text{Dirichlet}(\alpha, \dots, \alpha)$$

    For normal coefficients, columns of variance one and noise of standard deviation
    $\sigma$, $R^2$ is the share of the variance that the terms explain a priori. Call it as
    ``layer(name, x, units=1, activation=identity, sigma=1.0)`` with `x` of shape (n, d) and
    `sigma` a number or a site of event shape (); the output has shape (n, units).

    Args:
        mean_r2: Prior mean $m$ of $R^2$, between 0 and 1.
        precision_r2: Precision $k$ of its prior, positive: the sum of the two parameters of the
            beta distribution. With the defaults, $R^2$ is uniform.
        concentration: Concentration $\alpha$ of the shares, positive: the smaller, the fewer
            coefficients matter.
        coef_dist: Prior of the coefficients: a class that takes `scale`, or a distribution,
            whose scale is then multiplied by the drawn one.
        coef_kwargs: Keywords of `coef_dist` other than `scale`.
        centered: False draws ``beta_base`` and scales it, True draws ``beta`` directly, and a
            number between 0 and 1 interpolates; the distribution of ``beta`` is the same.

    Sites:
        ``r2`` (u,); ``phi`` (u, d), whose rows sum to one; ``beta`` (d, u), deterministic
        with its ``beta_base`` unless `centered`.

    Raises:
        ValueError: If a keyword is unknown, missing or out of range, `mean_r2` is not
            between 0 and 1, or another number is not positive.
        TypeError: If the prior is not a distribution.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(R2D2Layer(mean_r2=0.3), 0)("genes", jnp.ones((100, 200))).shape
        (100, 1)

    References:
        Zhang, Naughton, Bondell, Reich (2022), "Bayesian regression using a prior on the
        model fit: the R2-D2 shrinkage prior", Journal of the American Statistical
        Association 117, section 2.

    Note:
        The paper's coefficients are Laplace of this standard deviation; for that, give
        ``dist.Laplace(0.0, 0.5**0.5)``.
    """

    coef_prior: Prior = eqx.field(static=True)
    mean_r2: float = setting(check=_checks.share)
    precision_r2: float = setting(check=_checks.positive)
    concentration: float = setting(check=_checks.positive)
    centered: bool | float = setting(check=checked_centering)

    def __init__(
        self,
        mean_r2: float = 0.5,
        precision_r2: float = 2.0,
        concentration: float = 0.5,
        coef_dist: Family = dist.Normal,
        coef_kwargs: Keywords = ZERO_LOC,
        centered: bool | float = False,
    ) -> None:
        self.mean_r2, self.precision_r2 = mean_r2, precision_r2
        self.concentration = concentration
        self.coef_prior = Prior("coef", coef_dist, coef_kwargs, ZERO_LOC, True)
        self.centered = centered

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        units: int = 1,
        activation: Activation = identity,
        sigma: ArrayLike = 1.0,
    ) -> Float[Array, "*batch n u"]:
        _checks.all_positive("sigma", sigma)

        def rows(x: Array) -> Array:
            shape = (x.shape[-1], units)
            scale = line_up(jnp.asarray(sigma), 0, 2) * self._scale(shape)
            return linear(x, draw("beta", self.coef_prior, shape, scale, self.centered))

        return activation(on_columns(rows, x))

    def _scale(self, shape: tuple[int, int]) -> Array:
        d, units = shape
        a, b = self.mean_r2, 1.0 - self.mean_r2
        prior = dist.Beta(a * self.precision_r2, b * self.precision_r2)
        r2 = sample("r2", prior.expand((units,)).to_event(1), rank=2)
        shares = dist.Dirichlet(jnp.full((d,), self.concentration))
        phi = sample_site("phi", shares.expand((units,)).to_event(1)).value
        # Shares may underflow and r2 may round to one: the square root must keep a finite
        # gradient.
        tiny = jnp.finfo(r2.dtype).tiny
        share = jnp.maximum(jnp.swapaxes(phi, -1, -2), tiny)
        return jnp.sqrt(share * (r2 / jnp.maximum(1.0 - r2, jnp.finfo(r2.dtype).eps)))
