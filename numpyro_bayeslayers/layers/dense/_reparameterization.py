"""The dense layer."""

from jaxtyping import Array, Float, Num

from ._normal import AbstractNormalDense


class DenseReparameterization(AbstractNormalDense):
    r"""Dense layer with normal priors.

    $$y = x W + b, \qquad W_{ij} \sim N(0, s^2), \quad b_j \sim N(0, s^2)$$

    Under a variational guide the weights are drawn once for all rows (the plain
    reparameterization gradient estimator). Wrap the model in `handlers.flipout` or
    `handlers.local_reparameterization` for separate draws for each row.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Whether to add a bias.
        prior_scale: Standard deviation $s$ of the priors, positive, or ``"fan_in"`` for
            $1/\sqrt{in}$, which keeps the prior predictive variance of a deep stack bounded.
        name: Prefix of the sites; the default is ``"dense_reparameterization"``.

    Sites:
        ``weight`` of event shape (in, out); ``bias`` of event shape (out,), if `bias`.

    Raises:
        ValueError: If a size or the scale is not positive, if the input's last axis is not
            `in_features`, or if the layer is called twice in one model without `tie`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = DenseReparameterization(3, 2, name="hidden")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Kingma and Welling (2014), "Auto-encoding variational Bayes", ICLR, section 2.4.
    """

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        return self._affine(x)
