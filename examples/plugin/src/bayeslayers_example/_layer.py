"""A linear layer with a sparse prior."""

import equinox as eqx
import numpyro.distributions as dist
from jax import Array

from numpyro_bayeslayers.layers import AbstractRowLayer
from numpyro_bayeslayers.primitives import linear, sample_site


class LaplaceLinear(AbstractRowLayer):
    r"""Linear layer whose weights have Laplace priors.

    $$y = x W, \qquad W_{ij} \sim \mathrm{Laplace}(0, s)$$

    The posterior mode is the lasso; the posterior itself is not sparse.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        scale: Scale $s$ of the prior, positive; its standard deviation is $\sqrt{2} s$.
        name: Prefix of the site; the default is ``"laplace_linear"``.

    Sites:
        ``weight`` of event shape (in, out).

    Raises:
        ValueError: If `scale` is not positive, or the input's last axis not `in_features`.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(LaplaceLinear(3, 2, name="out"), 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Park, Casella (2008), "The Bayesian Lasso", Journal of the American Statistical
        Association 103, equation 3.
    """

    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    scale: float = eqx.field(static=True, default=1.0)
    name: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"`scale` must be positive, got {self.scale}.")

    def _rows(self, x: Array) -> Array:
        shape = (self.in_features, self.out_features)
        prior = dist.Laplace(0.0, self.scale).expand(shape).to_event(2)
        return linear(x, sample_site("weight", prior))
