"""A layer: an Equinox module whose parameters are sample sites.

The comments are for you: delete them from your copy.
"""

import numpyro.distributions as dist
from jaxtyping import Array, Float, Num

from numpyro_bayeslayers import _checks
from numpyro_bayeslayers._base import AbstractRowLayer
from numpyro_bayeslayers._settings import setting
from numpyro_bayeslayers.primitives import linear, sample_site


# `AbstractRowLayer` if each row is mapped by itself: plates and further axes are then seen to.
# Otherwise `AbstractLayer`, with `_forward` in place of `_rows`.
class DenseStudentT(AbstractRowLayer):
    # First the formula, with a symbol for each argument; then what the reader asks in turn.
    r"""Dense layer whose weights have heavy tails.

    $$y = x W + b, \qquad W_{ij} \sim t_\nu(0, s), \quad b_j \sim N(0, 1)$$

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        df: Degrees of freedom $\nu$ of the prior, positive.
        scale: Scale $s$ of the prior, positive, in units of output per unit of input.
        name: Prefix of the sites; the default is ``"dense_student_t"``.

    Sites:
        ``weight`` of event shape (in, out); ``bias`` of event shape (out,).

    Raises:
        ValueError: If a size or a number is not positive, or if the input's last axis is not
            `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(DenseStudentT(3, 2, name="f"), 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Neal (1996), "Bayesian learning for neural networks", Springer, section 2.2.
    """

    # Settings are static fields with a check of `_checks`: wrong ones are refused by name when
    # the layer is made, and numbers of NumPy become Python's. What several fields must have in
    # common goes into `__check_init__`. An array that is a plain field would be a leaf, which
    # an optimizer may move: say so, or take its gradient away.
    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    df: float = setting(check=_checks.positive, default=4.0)
    scale: float = setting(check=_checks.positive, default=1.0)
    # The name is always the last.
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        # Sites have their natural shape, all of it in the event. A plate around the layer
        # adds its axis on the left by itself.
        prior = dist.StudentT(self.df, 0.0, self.scale)
        weight = sample_site(
            "weight", prior.expand([self.in_features, self.out_features]).to_event(2)
        )
        bias = sample_site(
            "bias", dist.Normal(0.0, 1.0).expand([self.out_features]).to_event(1)
        )
        # Sites, not their values: gradient estimators look up the guide's distribution.
        return linear(x, weight, bias)
