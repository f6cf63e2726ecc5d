"""Fourier features whose frequencies are a function of the context."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import AbstractLayer, call_child
from ..._settings import setting
from ..._typing import PRNGKey
from ...basis import paired_features
from ._conditioner import as_rows, own_map
from ._parameter_net import parameters_of


class HyperFourierFeatures(AbstractLayer):
    r"""Cosines and sines whose frequencies, phases and lengthscale a network makes.

    $$\phi(x; z) = M^{-1/2} [\cos u, \sin u], \qquad u = x W / \ell + b, \qquad
    [\text{vec}\,W, b, \log \ell] = \text{net}(z)$$

    with $W$ of shape (in, M), row by row.

    Args:
        parameter_net: The network: a layer that maps contexts (..., K) to (..., D M + M + 1),
            or any callable of one context, such as `equinox.nn.MLP`.
        in_features: Size of the last axis of the input, $D$.
        n_features: Number of frequencies $M$.
        cond_dim: Size of the context $K$.
        name: Prefix of the network's sites, if it has any.

    Raises:
        ValueError: If a size is not positive, if inputs and contexts do not fit, or, at the
            first call, if the network's output has not the size needed.
        TypeError: If the network cannot be called.

    Example:
        >>> import equinox, jax, jax.numpy as jnp
        >>> net = equinox.nn.MLP(2, 3 * 4 + 4 + 1, 8, 1, key=jax.random.key(0))
        >>> layer = HyperFourierFeatures.init(
        ...     parameter_net=net, in_features=3, n_features=4, cond_dim=2
        ... )
        >>> layer(jnp.ones((5, 3)), jnp.ones(2)).shape
        (5, 8)

    References:
        Ha, Dai, Le (2016), "HyperNetworks", section 3, for the construction; Rahimi and Recht
        (2007), "Random features for large-scale kernel machines", NeurIPS, for the features.
    """

    parameter_net: Callable[..., Any]
    in_features: int = setting(check=_checks.size)
    n_features: int = setting(check=_checks.size)
    cond_dim: int = setting(check=_checks.size)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        _checks.function("parameter_net", self.parameter_net)

    @classmethod
    def init(
        cls,
        *,
        parameter_net: Callable[..., Any],
        in_features: int,
        n_features: int,
        cond_dim: int,
        name: str | None = None,
    ) -> "HyperFourierFeatures":
        """Make the layer; the network is not called."""
        return cls(parameter_net, in_features, n_features, cond_dim, name)

    @property
    def num_outputs(self) -> int:
        """How many features a row gets: ``2 * n_features``."""
        return 2 * self.n_features

    def _forward(
        self, x: Num[ArrayLike, "*batch d_in"], z: Num[ArrayLike, "*batch_z k"]
    ) -> Float[Array, "*rest d_out"]:
        x, z = as_rows("x", x), as_rows("z", z)
        _checks.last_axis("x", x, "in_features", self.in_features)
        _checks.last_axis("z", z, "cond_dim", self.cond_dim)
        if x.ndim > 2 or z.ndim > 2 or (x.ndim == z.ndim == 2 and len(x) != len(z)):
            raise ValueError(
                f"`x` must be (D,) or (N, D) and `z` (K,) or (N, K) with one context for each "
                f"row, got shapes {x.shape} and {z.shape}."
            )
        made = parameters_of(self.parameter_net, z)
        split = self.in_features * self.n_features
        size = split + self.n_features + 1
        if made.shape[-1:] != (size,):
            raise ValueError(
                f"`parameter_net` must give {size} numbers for each context (in_features * "
                f"n_features + n_features + 1), got shape {made.shape}."
            )
        weight = made[..., :split].reshape(
            made.shape[:-1] + (self.in_features, self.n_features)
        )
        scaled = x * jnp.exp(-made[..., -1:])
        product = jnp.matmul(scaled[..., None, :], weight)[..., 0, :]
        return paired_features(product + made[..., split:-1])


class ConditionedRFFNet(AbstractLayer):
    r"""A linear readout of features that depend on a context.

    $$y = A\,\phi(x; z) + a$$

    Args:
        feat: The features: a `HyperFourierFeatures`, or a layer of (x, z) with `num_outputs`.
        readout: The map, `num_outputs` to `out_features`; `init` draws it by the law of
            `equinox.nn.Linear`.
        name: Prefix of the features' sites, if they have any.

    Raises:
        ValueError: If `out_features` is not positive.
        TypeError: If `feat` has no `num_outputs`.

    Example:
        >>> import equinox, jax, jax.numpy as jnp
        >>> net = equinox.nn.MLP(2, 3 * 4 + 4 + 1, 8, 1, key=jax.random.key(0))
        >>> features = HyperFourierFeatures(net, 3, 4, 2)
        >>> layer = ConditionedRFFNet.init(
        ...     feat=features, out_features=1, key=jax.random.key(1)
        ... )
        >>> layer(jnp.ones((5, 3)), jnp.ones(2)).shape
        (5, 1)

    References:
        Ha, Dai, Le (2016), "HyperNetworks", section 3.
    """

    feat: Any
    readout: eqx.nn.Linear
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls, *, feat: Any, out_features: int, key: PRNGKey, name: str | None = None
    ) -> "ConditionedRFFNet":
        """Draw the readout."""
        if not hasattr(feat, "num_outputs"):
            raise TypeError(f"`feat` must have `num_outputs`, got {feat!r}.")
        out_features = _checks.size("out_features", out_features)
        return cls(feat, eqx.nn.Linear(feat.num_outputs, out_features, key=key), name)

    def _forward(
        self, x: Num[ArrayLike, "*batch d_in"], z: Num[ArrayLike, "*batch_z k"]
    ) -> Float[Array, "*rest d_out"]:
        phi = call_child("feat", self.feat, x, z)
        rows = phi if phi.ndim > 1 else phi[None]
        out = own_map(self.readout, rows)
        return out if phi.ndim > 1 else out[0]
