"""Linear maps with weights that depend on the context."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey
from ._conditioner import (
    AbstractConditioner,
    AbstractVar,
    drawn_map,
    own_map,
    uniform_linear,
)


class AbstractHyperLinear(AbstractConditioner):
    """An affine map whose weights are generated from the context."""

    target_in: AbstractVar[int]
    target_out: AbstractVar[int]

    @property
    def num_features(self) -> int:
        """Number of output features."""
        return self.target_out

    @property
    def in_features(self) -> int:
        """Size of the last axis of the input features."""
        return self.target_in

    @property
    def _size_name(self) -> str:
        return "target_in"

    @property
    def num_generated(self) -> int:
        """Number of values that the generator computes for a context."""
        return self.target_out * (self.target_in + 1)

    def _apply(self, h: Array, z: Array) -> Array:
        made = self._map(z)
        split = self.target_out * self.target_in
        shape = made.shape[:-1] + (self.target_out, self.target_in)
        weight, bias = made[..., :split].reshape(shape), made[..., split:]
        if z.shape[-2] == 1:  # one map for all rows
            return jnp.matmul(h, jnp.swapaxes(weight[..., 0, :, :], -1, -2)) + bias
        return jnp.einsum("...ni,...noi->...no", h, weight) + bias


class HyperLinear(AbstractHyperLinear):
    r"""An affine map with weights generated from the context.

    $$y = W(z)\,h + b(z), \qquad [\text{vec}\,W, b] = z A^\top + a$$

    with $W$ of shape (out, in), in row-major order. One context for all rows needs one matrix;
    one context for each row needs a matrix for each row.

    Args:
        target_in: Number of input features.
        target_out: Number of output features.
        cond_dim: Size of the context $K$.
        generator: The map from K to out * in + out.
        name: Accepted for uniformity and unused: there are no sites to prefix.

    Raises:
        ValueError: If a size is not positive, or the shapes of features and contexts do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> layer = HyperLinear.init(4, 3, 2, key=jax.random.key(0))
        >>> layer(jnp.ones((5, 4)), jnp.ones(2)).shape
        (5, 3)

    References:
        Ha, Dai, Le (2016), "HyperNetworks", section 3.
    """

    target_in: int = setting(check=_checks.size)
    target_out: int = setting(check=_checks.size)
    cond_dim: int = setting(check=_checks.size)
    generator: eqx.nn.Linear
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        target_in: int,
        target_out: int,
        cond_dim: int,
        *,
        key: PRNGKey,
        init_scale: float = 0.1,
        name: str | None = None,
    ) -> "HyperLinear":
        r"""Draw the generator: weights as in `equinox.nn.Linear`, multiplied by `init_scale`.

        Args:
            target_in: Number of input features.
            target_out: Number of output features.
            cond_dim: Size of the context $K$.
            key: Random key of the weights.
            init_scale: Multiplier of the generator's weights, zero or more; its bias is zero.
            name: Accepted for uniformity and unused: there are no sites to prefix.
        """
        target_in = _checks.size("target_in", target_in)
        target_out = _checks.size("target_out", target_out)
        cond_dim = _checks.size("cond_dim", cond_dim)
        init_scale = _checks.non_negative("init_scale", init_scale)
        size = target_out * (target_in + 1)
        bound = init_scale / math.sqrt(cond_dim)
        generator = uniform_linear(cond_dim, size, key, bound, 0.0)
        return cls(target_in, target_out, cond_dim, generator, name)

    @classmethod
    def of_features(
        cls, num_features: int, cond_dim: int, key: PRNGKey, **kwargs: Any
    ) -> "HyperLinear":
        """Create a conditioner that keeps the number of features."""
        return cls.init(num_features, num_features, cond_dim, key=key, **kwargs)

    def _map(self, x: Array) -> Array:
        return own_map(self.generator, x)


class BayesianHyperLinear(AbstractHyperLinear):
    r"""An affine map with weights generated from the context, with priors on the generator.

    $$y = W(z)\,h + b(z), \qquad [\text{vec}\,W, b] = z A + a, \qquad
    A_{ij}, a_j \sim N(0, s^2)$$

    The generated weights are not sites: they are computed from the generator's weights.

    Args:
        target_in: Number of input features.
        target_out: Number of output features.
        cond_dim: Size of the context $K$.
        prior_std: Standard deviation $s$ of the priors, positive.
        name: Prefix of the sites; the default is ``"bayesian_hyper_linear"``.

    Sites:
        ``gen_W`` (K, out * in + out), ``gen_b`` (out * in + out,).

    Raises:
        ValueError: If a size or `prior_std` is not positive, or the shapes of features and
            contexts do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = BayesianHyperLinear.init(4, 3, 2, name="c")
        >>> seed(layer, 0)(jnp.ones((5, 4)), jnp.ones(2)).shape
        (5, 3)

    References:
        Ha, Dai, Le (2016), "HyperNetworks", section 3.
    """

    target_in: int = setting(check=_checks.size)
    target_out: int = setting(check=_checks.size)
    cond_dim: int = setting(check=_checks.size)
    prior_std: float = setting(check=_checks.positive, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        target_in: int,
        target_out: int,
        cond_dim: int,
        *,
        prior_std: float = 1.0,
        name: str | None = None,
    ) -> "BayesianHyperLinear":
        """Create the conditioner; nothing is drawn."""
        return cls(target_in, target_out, cond_dim, prior_std, name)

    @classmethod
    def of_features(
        cls,
        num_features: int,
        cond_dim: int,
        key: PRNGKey,
        prior_std: float = 1.0,
        name: str | None = None,
    ) -> "BayesianHyperLinear":
        """Create a conditioner that keeps the number of features; no key is needed."""
        return cls(num_features, num_features, cond_dim, prior_std, name)

    def _map(self, x: Array) -> Array:
        return drawn_map("gen", self.num_generated, self.prior_std, x)
