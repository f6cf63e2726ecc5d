"""What the dense layers with normal priors share; they differ in the estimator."""

import equinox as eqx
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer
from ...primitives import linear, sample_site
from ._prior import PriorScale, check_scale, normal


class AbstractNormalDense(AbstractRowLayer):
    """A dense layer with independent normal priors."""

    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    bias: bool = eqx.field(static=True, default=True)
    prior_scale: PriorScale = eqx.field(static=True, default=1.0)
    name: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        _checks.size("in_features", self.in_features)
        _checks.size("out_features", self.out_features)
        check_scale(self.prior_scale)

    def _affine(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        shape = (self.in_features, self.out_features)
        prior = normal(shape, self.prior_scale, self.in_features)
        weight = sample_site("weight", prior)
        if not self.bias:
            return linear(x, weight)
        prior = normal(shape[1:], self.prior_scale, self.in_features)
        return linear(x, weight, sample_site("bias", prior))
