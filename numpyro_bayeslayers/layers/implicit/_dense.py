"""What the dense layers share whose members have one weight matrix, scaled from both sides."""

import abc
from typing import TYPE_CHECKING

from jaxtyping import Array, Float, Num

from ...primitives import Site, linear, sample_site
from ..dense._prior import PriorScale, normal
from ._members import AbstractMemberLayer, merge_members

if TYPE_CHECKING:
    # Type checkers would take Equinox's own for a field, and an argument of constructors.
    from typing import ClassVar as AbstractVar
else:
    from equinox import AbstractVar


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
        scaled = x * r[..., None, :]
        # One product for the rows of all members: no member has a matrix of its own.
        out = linear(merge_members(scaled), weight)
        blocks = (members, scaled.shape[-2], self.out_features)
        out = out.reshape(out.shape[:-2] + blocks) * s[..., None, :]
        if not self.bias:
            return out
        prior = normal((members, self.out_features), self.prior_scale, fan_in)
        return out + sample_site("bias", prior).value[..., None, :]
