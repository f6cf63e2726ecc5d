"""Base of the dense layers with normal priors, which differ in the gradient estimator."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer
from ..._settings import setting
from ...primitives import linear, sample_site
from .._linear_normal import AbstractLinearNormal, LinearNormal
from ._prior import PriorScale, checked_scale, normal, scale_of


class AbstractNormalDense(AbstractRowLayer, AbstractLinearNormal):
    """A dense layer with independent normal priors."""

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    bias: bool = setting(check=_checks.switch, default=True)
    prior_scale: PriorScale = setting(check=checked_scale, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _affine(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        shape = (self.in_features, self.out_features)
        prior = normal(shape, self.prior_scale, self.in_features)
        weight = sample_site("weight", prior)
        if not self.bias:
            return linear(x, weight)
        prior = normal(shape[1:], self.prior_scale, self.in_features)
        return linear(x, weight, sample_site("bias", prior))

    def _linear_normal(self) -> LinearNormal:
        def features(x: Array) -> Array:
            _checks.last_axis("x", x, "in_features", self.in_features)
            ones = jnp.ones(x.shape[:-1] + (int(self.bias),), x.dtype)
            return jnp.concatenate([x, ones], -1)

        squeezed = self.out_features == 1
        size = self.in_features + int(self.bias)
        return LinearNormal(
            features,
            jnp.zeros((size,) if squeezed else (self.out_features, size)),
            jnp.full(size, scale_of(self.prior_scale, self.in_features)),
            lambda weights: self._sites(weights[..., None, :] if squeezed else weights),
        )

    def _sites(self, weights: Array) -> dict[str, Array]:
        columns = jnp.swapaxes(weights, -1, -2)
        named = {"weight": columns[..., : self.in_features, :]}
        return named | ({"bias": columns[..., -1, :]} if self.bias else {})
