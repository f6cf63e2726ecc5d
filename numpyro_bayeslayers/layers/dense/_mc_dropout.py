"""Dropout that is also active in prediction."""

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, ArrayLike, Float

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey
from ...primitives import prng_key


class MCDropout(eqx.Module):
    r"""Drop entries at random, in training and in prediction.

    $$y_i = x_i m_i / (1 - p), \qquad m_i \sim \mathrm{Bernoulli}(1 - p)$$

    This is a plain module without sites. `handlers.mc_dropout` applies dropout to a whole model.

    Args:
        rate: Probability $p$ of dropping an entry, at least 0 and below 1.

    Raises:
        ValueError: If `rate` is out of range, or if there is no random key.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> MCDropout(0.5)(jnp.ones((5, 3)), key=jax.random.key(0)).shape
        (5, 3)

    References:
        Gal and Ghahramani (2016), "Dropout as a Bayesian approximation", ICML, section 3.
    """

    rate: float = setting(check=_checks.rate, default=0.5)

    def __call__(
        self, x: Float[ArrayLike, "*batch"], *, key: PRNGKey | None = None
    ) -> Float[Array, "*batch"]:
        """Apply dropout to the input; inside a model the default key is `numpyro.prng_key()`."""
        x = _checks.array("x", x)
        key = prng_key("MCDropout") if key is None else key
        keep = random.bernoulli(key, 1.0 - self.rate, x.shape)
        return jnp.where(keep, x / (1.0 - self.rate), jnp.zeros_like(x))
