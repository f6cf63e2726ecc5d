"""Moments of activations with normal inputs."""

import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float


def relu_moments(
    mean: Float[Array, "*batch d"], var: Float[Array, "*batch d"]
) -> tuple[Float[Array, "*batch d"], Float[Array, "*batch d"]]:
    r"""Mean and variance of $\max(0, z)$ for $z \sim N(m, v)$.

    With $s = \sqrt{v}$, $a = m / s$ and the standard normal's density $\phi$ and
    distribution function $\Phi$,

    $$E = m\,\Phi(a) + s\,\phi(a), \qquad
    E[\max(0, z)^2] = (m^2 + v)\,\Phi(a) + m s\,\phi(a)$$

    Args:
        mean: Means $m$.
        var: Variances $v$, zero or positive.

    Example:
        >>> import jax.numpy as jnp
        >>> mean, var = relu_moments(jnp.zeros(1), jnp.ones(1))
        >>> round(float(mean[0]), 4), round(float(var[0]), 4)
        (0.3989, 0.3408)

    References:
        Wu, Nowozin, Meeds, Turner, Hernandez-Lobato, Gaunt (2018), "Deterministic
        variational inference for robust Bayesian neural networks", ICLR 2019, table 1.
    """
    # The floor keeps the ratio's gradient finite where a unit has zero variance.
    scale = jnp.sqrt(jnp.maximum(var, jnp.finfo(var.dtype).tiny ** 0.5))
    ratio = mean / scale
    below, density = norm.cdf(ratio), norm.pdf(ratio)
    first = mean * below + scale * density
    # E[z+^2] - E[z+]^2 = v Phi + (m Phi + s phi)(m (1 - Phi) - s phi): no cancellation of
    # large squares.
    spread = var * below + first * (mean * norm.cdf(-ratio) - scale * density)
    return first, jnp.maximum(spread, 0.0)
