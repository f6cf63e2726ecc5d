"""Conditioning by concatenation of features and context."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey
from ._conditioner import AbstractConditioner, drawn_map, own_map


class AbstractConcat(AbstractConditioner):
    """An affine map of the concatenated features and context."""

    def _apply(self, h: Array, z: Array) -> Array:
        z = jnp.broadcast_to(z, h.shape[:-1] + z.shape[-1:])
        return self._map(jnp.concatenate([h, z], -1))


class ConcatConditioner(AbstractConcat):
    r"""An affine map of the concatenated features and context, with trainable weights.

    $$y = [h, z]\,A^\top + a$$

    Args:
        num_features: Number of features $C$, in and out.
        cond_dim: Size of the context $K$.
        proj: The map from C + K to C; `init` draws it like the weights of `equinox.nn.Linear`.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If a size is not positive, or the shapes of features and contexts do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = ConcatConditioner.init(4, 2, key=jax.random.key(0))
        >>> layer(jnp.ones((5, 4)), jnp.ones(2)).shape
        (5, 4)

    References:
        Mirza and Osindero (2014), "Conditional generative adversarial nets", section 3.2.
    """

    num_features: int = setting(check=_checks.size)
    cond_dim: int = setting(check=_checks.size)
    proj: eqx.nn.Linear
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls, num_features: int, cond_dim: int, *, key: PRNGKey, name: str | None = None
    ) -> "ConcatConditioner":
        """Draw the map."""
        num_features = _checks.size("num_features", num_features)
        cond_dim = _checks.size("cond_dim", cond_dim)
        proj = eqx.nn.Linear(num_features + cond_dim, num_features, key=key)
        return cls(num_features, cond_dim, proj, name)

    def _map(self, x: Array) -> Array:
        return own_map(self.proj, x)


class BayesianConcatConditioner(AbstractConcat):
    r"""An affine map of the concatenated features and context, with normal priors.

    $$y = [h, z]\,A + a, \qquad A_{ij} \sim N(0, s^2), \quad a_j \sim N(0, s^2)$$

    Args:
        num_features: Number of features $C$, in and out.
        cond_dim: Size of the context $K$.
        prior_std: Standard deviation $s$ of the priors, positive.
        name: Prefix of the sites; the default is ``"bayesian_concat_conditioner"``.

    Sites:
        ``proj_W`` (C + K, C), ``proj_b`` (C,).

    Raises:
        ValueError: If a size or `prior_std` is not positive, or the shapes of features and
            contexts do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = BayesianConcatConditioner.init(4, 2, name="c")
        >>> seed(layer, 0)(jnp.ones((5, 4)), jnp.ones(2)).shape
        (5, 4)

    References:
        Mirza and Osindero (2014), "Conditional generative adversarial nets", section 3.2.
    """

    num_features: int = setting(check=_checks.size)
    cond_dim: int = setting(check=_checks.size)
    prior_std: float = setting(check=_checks.positive, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        num_features: int,
        cond_dim: int,
        *,
        prior_std: float = 1.0,
        name: str | None = None,
    ) -> "BayesianConcatConditioner":
        """Create the conditioner; nothing is drawn."""
        return cls(num_features, cond_dim, prior_std, name)

    @classmethod
    def of_features(
        cls,
        num_features: int,
        cond_dim: int,
        key: PRNGKey,
        prior_std: float = 1.0,
        name: str | None = None,
    ) -> "BayesianConcatConditioner":
        """Create the conditioner; no key is needed."""
        return cls(num_features, cond_dim, prior_std, name)

    def _map(self, x: Array) -> Array:
        return drawn_map("proj", self.num_features, self.prior_std, x)
