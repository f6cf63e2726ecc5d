"""Base of all conditioners: shapes of features and contexts, and the learned map."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import AbstractLayer, AbstractVar, on_rows
from ..._typing import PRNGKey
from ...primitives import linear, sample_site


class AbstractConditioner(AbstractLayer):
    """A map of features that depends on a context, $c(h, z)$.

    Features `h` are (C,) or (N, C), contexts `z` are (K,) or (N, K). A context (K,) applies to
    all rows; a row (C,) with contexts (N, K) gives one row for each context. Subclasses
    implement `_apply` for rows, and `_map`, the learned linear map: a plain conditioner stores
    its weights, and the Bayesian version draws them at sites.
    """

    num_features: AbstractVar[int]
    cond_dim: AbstractVar[int]

    def __check_init__(self) -> None:
        _checks.size("num_features", self.num_features)
        _checks.size("cond_dim", self.cond_dim)

    @property
    def in_features(self) -> int:
        """Size of the last axis of the input features."""
        return self.num_features

    @classmethod
    def of_features(
        cls, num_features: int, cond_dim: int, key: PRNGKey, **kwargs: Any
    ) -> "AbstractConditioner":
        """Create a conditioner that keeps the number of features."""
        make: Any = cls.init
        return make(num_features, cond_dim, key=key, **kwargs)

    @classmethod
    @abc.abstractmethod
    def init(cls, *args: Any, **kwargs: Any) -> "AbstractConditioner":
        """Create the conditioner and its parameters."""

    @abc.abstractmethod
    def _apply(self, h: Array, z: Array) -> Array:
        """Map rows (*plates, n, C) and contexts (*plates, n or 1, K) to rows."""

    @abc.abstractmethod
    def _map(self, x: Array) -> Array:
        """The learned linear map of rows."""

    def _forward(
        self, h: Num[ArrayLike, "*batch c"], z: Num[ArrayLike, "*batch_z k"]
    ) -> Float[Array, "*rest c_out"]:
        h, z = as_rows("h", h), as_rows("z", z)
        _checks.last_axis("h", h, self._size_name, self.in_features)
        _checks.last_axis("z", z, "cond_dim", self.cond_dim)
        if z.ndim == 1:
            return on_rows(lambda rows: self._apply(rows, z[None]), h, self.in_features)
        if h.ndim == 1:
            h = jnp.broadcast_to(h, z.shape[:-1] + h.shape)
        if h.ndim < z.ndim or h.shape[-z.ndim : -1] != z.shape[:-1]:
            raise ValueError(
                f"`z` must be one context, ({self.cond_dim},), or one for each row of `h`, "
                f"got shapes {z.shape} and {h.shape}."
            )
        # Inside plates, the features may have plate axes that the contexts lack.
        z = jnp.broadcast_to(z, h.shape[:-1] + z.shape[-1:])
        split = self.in_features
        both = jnp.concatenate([h, z], -1)
        apply = lambda rows: self._apply(rows[..., :split], rows[..., split:])
        return on_rows(apply, both, both.shape[-1])

    @property
    def _size_name(self) -> str:
        return "num_features"


def as_rows(name: str, x: ArrayLike) -> Array:
    """Convert to floats; a scalar is an error, as it has no feature axis."""
    x = _checks.array(name, x)
    return x.astype(jnp.result_type(float, x.dtype))


def own_map(module: eqx.nn.Linear, x: Array) -> Array:
    """The affine map of an Equinox module, visible to gradient estimators."""
    return linear(x, jnp.swapaxes(module.weight, -1, -2), module.bias)


def drawn_map(name: str, out_features: int, prior_std: float, x: Array) -> Array:
    """An affine map drawn from normal priors at the sites ``{name}_W`` and ``{name}_b``."""
    shape = [x.shape[-1], out_features]
    prior = dist.Normal(0.0, prior_std)
    weight = sample_site(f"{name}_W", prior.expand(shape).to_event(2))
    bias = sample_site(f"{name}_b", prior.expand(shape[1:]).to_event(1))
    return linear(x, weight, bias)


def uniform_linear(
    in_features: int, out_features: int, key: PRNGKey, weight: float, bias: float
) -> eqx.nn.Linear:
    """An affine map with weights and biases uniform between plus and minus the bounds."""
    key_weight, key_bias = random.split(key)
    shape = (out_features, in_features)
    module = eqx.nn.Linear(in_features, out_features, key=key)
    return eqx.tree_at(
        lambda m: (m.weight, m.bias),
        module,
        (
            random.uniform(key_weight, shape, minval=-1.0, maxval=1.0) * weight,
            random.uniform(key_bias, shape[:1], minval=-1.0, maxval=1.0) * bias,
        ),
    )
