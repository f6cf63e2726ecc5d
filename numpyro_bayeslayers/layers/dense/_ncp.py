"""The last layer of a network with a noise contrastive prior."""

import math

import numpyro.distributions as dist
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer
from ..._settings import setting
from ...primitives import linear, sample, sample_site
from ._prior import normal


class DenseNCP(AbstractRowLayer):
    r"""Dense layer with a mean part and a stochastic part of learned scale.

    $$y = x W_d + b_d + \sigma\,(x W_s + b_s), \qquad \sigma \sim
    \mathrm{LogNormal}(\log s_0, 1)$$

    with independent standard normal priors on all weights and biases. With
    `NCPContinuousPerturb` on the inputs and `NCPNormalOutput` on the outputs, it makes a
    network uncertain away from its training data.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        init_scale: Prior median $s_0$ of the stochastic part's scale, positive.
        name: Prefix of the sites; the default is ``"dense_ncp"``.

    Sites:
        ``weight_det`` (in, out), ``bias_det`` (out,), ``weight_stoch`` (in, out),
        ``bias_stoch`` (out,), ``scale`` ().

    Raises:
        ValueError: If a size or `init_scale` is not positive.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(DenseNCP(3, 1, name="out"), 0)(jnp.ones((5, 3))).shape
        (5, 1)

    References:
        Hafner, Tran, Lillicrap, Irpan, Davidson (2019), "Noise contrastive priors for
        functional uncertainty", UAI, section 2.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    init_scale: float = setting(check=_checks.positive, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        shape = (self.in_features, self.out_features)
        parts = []
        for part in ("det", "stoch"):
            weight = sample_site(f"weight_{part}", normal(shape))
            bias = sample_site(f"bias_{part}", normal(shape[1:]))
            parts.append(linear(x, weight, bias))
        scale = sample("scale", dist.LogNormal(math.log(self.init_scale), 1.0), rank=2)
        return parts[0] + scale * parts[1]
