"""Likelihoods of uncertain outputs, as closed-form bounds."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, ArrayLike
from numpyro.distributions import constraints

from ...basis import mean_field_logits


class ExpectedNormal(dist.Distribution):
    r"""The expected log density of $N(f, \sigma^2)$ over $f \sim N(m, v)$.

    The log density is $\log N(y; m, \sigma^2) - v / (2 \sigma^2)$; draws are from
    $N(m, v + \sigma^2)$.
    """

    arg_constraints = {
        "loc": constraints.real,
        "var": constraints.nonnegative,
        "scale": constraints.positive,
    }
    support = constraints.real
    reparametrized_params = ["loc", "var", "scale"]

    def __init__(
        self, loc: Array, var: Array, scale: Array, *, validate_args: bool | None = None
    ) -> None:
        shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(var), jnp.shape(scale))
        self.loc, self.var, self.scale = (
            jnp.broadcast_to(a, shape) for a in (loc, var, scale)
        )
        super().__init__(shape, (), validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        noise = random.normal(key, (*sample_shape, *self.batch_shape), self.loc.dtype)
        return self.loc + jnp.sqrt(self.variance) * noise

    def log_prob(self, value: ArrayLike) -> Array:
        mean = dist.Normal(self.loc, self.scale).log_prob(value)
        return mean - 0.5 * self.var / jnp.square(self.scale)

    @property
    def mean(self) -> Array:
        return self.loc

    @property
    def variance(self) -> Array:
        return self.var + jnp.square(self.scale)

    @property
    def predictive(self) -> dist.Normal:
        """The distribution of draws."""
        return dist.Normal(self.loc, jnp.sqrt(self.variance))


class ExpectedCategorical(dist.Distribution):
    r"""A bound on the mean log probability of classes over logits $f_k \sim N(m_k, v_k)$.

    The log density is $m_y - \log \sum_k e^{m_k + v_k / 2}$. Draws are classes,
    given drawn logits.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "var": constraints.independent(constraints.nonnegative, 1),
    }

    def __init__(
        self, loc: Array, var: Array, *, validate_args: bool | None = None
    ) -> None:
        shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(var))
        self.loc, self.var = (jnp.broadcast_to(a, shape) for a in (loc, var))
        super().__init__(shape[:-1], (), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.loc.shape[-1] - 1)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        key_logits, key_class = random.split(key)
        shape = (*sample_shape, *self.loc.shape)
        noise = random.normal(key_logits, shape, self.loc.dtype)
        return random.categorical(key_class, self.loc + jnp.sqrt(self.var) * noise)

    def log_prob(self, value: ArrayLike) -> Array:
        bounds = self.loc - jax.nn.logsumexp(self.loc + 0.5 * self.var, -1, keepdims=True)
        shape = jnp.broadcast_shapes(jnp.shape(value), self.batch_shape)
        index = jnp.broadcast_to(value, shape)[..., None].astype(int)
        bounds = jnp.broadcast_to(bounds, (*shape, bounds.shape[-1]))
        return jnp.take_along_axis(bounds, index, -1)[..., 0]

    @property
    def predictive(self) -> dist.CategoricalLogits:
        """Approximate distribution of draws, with mean-field logits."""
        return dist.CategoricalLogits(mean_field_logits(self.loc, self.var))
