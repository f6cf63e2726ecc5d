"""Layer normalization in an implicit ensemble."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._settings import setting
from ...primitives import param
from ..dense._optimized import constant
from ._members import AbstractMemberLayer


class LayerNormEnsemble(AbstractMemberLayer):
    r"""Layer normalization with a scale and a shift for each member.

    $$y_e = \gamma_e \circ \frac{x_e - \bar x_e}{\sqrt{\mathrm{Var}[x_e] + \epsilon}} +
    \beta_e$$

    with mean and variance over the features of a row. The scales start at one and the shifts at
    zero, as in standard layer normalization, so initial differences between members come from
    the surrounding layers: `DenseBatchEnsemble`, `MultiHeadAttentionBatchEnsemble`.

    Inputs and outputs have the shape (e, \*batch, in).

    Args:
        in_features: Size of the last axis of the input.
        num_members: Number of members $E$.
        eps: Constant $\epsilon$ that is added to the variance, positive.
        name: Prefix of the sites; the default is ``"layer_norm_ensemble"``.

    Sites:
        The parameters ``weight`` $\gamma$ and ``bias`` $\beta$ of event shape (e, in).

    Raises:
        ValueError: If a size or `eps` is not positive, if the first axis of the input is not
            `num_members` or its last axis not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = LayerNormEnsemble(3, num_members=4, name="norm")
        >>> seed(layer, 0)(jnp.ones((4, 5, 3))).shape
        (4, 5, 3)

    References:
        Ba, Kiros, Hinton (2016), "Layer normalization", arXiv:1607.06450, equation 4; Wen,
        Tran, Ba (2020), "BatchEnsemble", ICLR, section 3.1.
    """

    in_features: int = setting(check=_checks.size)
    num_members: int = setting(check=_checks.size)
    eps: float = setting(check=_checks.positive, default=1e-5)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _members(self, x: Num[Array, "*plates e n d_in"]) -> Float[Array, "*rest e n d_in"]:
        shape = (self.num_members, self.in_features)
        weight = param("weight", constant(1.0), shape).value[..., None, :]
        bias = param("bias", constant(0.0), shape).value[..., None, :]
        centered = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centered), axis=-1, keepdims=True)
        return weight * (centered * lax.rsqrt(variance + self.eps)) + bias
