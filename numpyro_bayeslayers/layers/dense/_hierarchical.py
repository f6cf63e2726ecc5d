"""A dense layer that prunes its inputs."""

import numpyro.distributions as dist
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer
from ..._settings import setting
from ...primitives import linear, param, sample
from ._optimized import constant, fan_in_normal


class DenseHierarchical(AbstractRowLayer):
    r"""Dense layer with a global scale and a scale for each input.

    $$y = \big((x \circ z_{local})\,\theta\big) z_{global} + b, \qquad
    z_{local,i} \sim \mathcal{C}^+(s_l), \quad z_{global} \sim \mathcal{C}^+(s_g)$$

    with half-Cauchy priors, which can switch off whole inputs; $\theta$ and $b$ are optimized.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Whether to add a bias.
        prior_local_scale: Scale $s_l$ of the inputs' scales, positive.
        prior_global_scale: Scale $s_g$ of the layer's scale, positive.
        name: Prefix of the sites; the default is ``"dense_hierarchical"``.

    Sites:
        Parameters ``theta`` (in, out) and ``bias`` (out,); ``z_local`` (in,),
        ``z_global`` ().

    Raises:
        ValueError: If a size or a scale is not positive.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(DenseHierarchical(3, 2, name="f"), 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Louizos, Ullrich, Welling (2017), "Bayesian compression for deep learning",
        NeurIPS, section 4.2.

    Note:
        In the paper the weights also have a variational posterior; here they are point estimates.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    bias: bool = setting(check=_checks.switch, default=True)
    prior_local_scale: float = setting(check=_checks.positive, default=0.1)
    prior_global_scale: float = setting(check=_checks.positive, default=0.1)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        shape = (self.in_features, self.out_features)
        theta = param("theta", fan_in_normal, shape)
        bias = param("bias", constant(0.0), shape[1:]) if self.bias else None
        local = dist.HalfCauchy(self.prior_local_scale).expand(shape[:1]).to_event(1)
        z_local = sample("z_local", local, rank=2)
        z_global = sample("z_global", dist.HalfCauchy(self.prior_global_scale), rank=2)
        out = linear(x * z_local, theta) * z_global
        return out if bias is None else out + bias.line_up(2)
