"""Perturbed inputs for a noise contrastive prior."""

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, ArrayLike, Float

from ... import _checks
from ..._typing import PRNGKey
from ...primitives import prng_key


class NCPContinuousPerturb(eqx.Module):
    r"""Add normal noise to continuous inputs.

    $$\tilde x = x + s\,\varepsilon, \qquad \varepsilon \sim N(0, I)$$

    This is a plain module without sites. It returns the perturbed inputs at which a noise
    contrastive prior makes the network uncertain.

    Args:
        scale: Standard deviation $s$ in units of `x`, zero or positive.

    Raises:
        ValueError: If `scale` is negative, or if there is no random key.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> NCPContinuousPerturb(0.1)(jnp.ones((5, 3)), key=jax.random.key(0)).shape
        (5, 3)

    References:
        Hafner, Tran, Lillicrap, Irpan, Davidson (2019), "Noise contrastive priors for
        functional uncertainty", UAI, section 2.
    """

    scale: float | Float[Array, ""] = 1.0

    def __check_init__(self) -> None:
        _checks.non_negative("scale", self.scale)

    def __call__(
        self, x: Float[ArrayLike, "*batch"], *, key: PRNGKey | None = None
    ) -> Float[Array, "*batch"]:
        """Return the perturbed input; inside a model the default key is `numpyro.prng_key()`."""
        x = _checks.array("x", x)
        key = prng_key("NCPContinuousPerturb") if key is None else key
        return x + jnp.asarray(self.scale, x.dtype) * random.normal(key, x.shape, x.dtype)
