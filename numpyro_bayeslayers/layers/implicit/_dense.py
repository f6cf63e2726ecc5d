"""The base of dense layers whose members scale one shared weight matrix from both sides."""

import abc

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from ..._base import AbstractVar
from ...primitives import Site, linear, sample_site
from ..dense._prior import PriorScale, normal
from ._members import AbstractMemberLayer, merge_members


class AbstractRankOneDense(AbstractMemberLayer):
    """A dense layer with a weight for all members, and two vectors for each."""

    out_features: AbstractVar[int]
    bias: AbstractVar[bool]
    prior_scale: AbstractVar[PriorScale]

    @abc.abstractmethod
    def _factor(self, name: str, shape: tuple[int, int]) -> Site:
        """One of the two vectors of each member, of event shape (e, size)."""

    def _members(
        self, x: Num[Array, "*plates e n d_in"]
    ) -> Float[Array, "*rest e n d_out"]:
        members, fan_in = self.num_members, self.in_features
        shape = (fan_in, self.out_features)
        weight = sample_site("weight", normal(shape, self.prior_scale, fan_in))
        r = self._factor("r", (members, fan_in)).value
        s = self._factor("s", (members, self.out_features)).value
        num_rows = x.shape[-2]

        def of_rows(own: Array) -> Array:
            return jnp.repeat(own, num_rows, axis=-2)

        # One product for the rows of all members: no matrix is formed for a member.
        out = linear(merge_members(x) * of_rows(r), weight) * of_rows(s)
        if self.bias:
            prior = normal((members, self.out_features), self.prior_scale, fan_in)
            out = out + of_rows(sample_site("bias", prior).value)
        return out.reshape(out.shape[:-2] + (members, num_rows, self.out_features))
