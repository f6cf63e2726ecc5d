"""A dense layer with the flipout gradient estimator."""

from jaxtyping import Array, Float, Num

from ...handlers import flipout
from ._normal import AbstractNormalDense


class DenseFlipout(AbstractNormalDense):
    r"""Dense layer whose weight perturbations differ between rows.

    The model is the same as that of `DenseReparameterization`. Under a factorized normal guide
    of mean $M$, row $n$ sees, with random signs $s_n$ and $r_n$,

    $$y_n = x_n M + \big((x_n \circ s_n)(W - M)\big) \circ r_n + b$$

    This is that layer inside `handlers.flipout`; without such a guide (NUTS, `Predictive`) it
    returns the plain value. To use the same weights twice, wrap the whole model in one
    `handlers.flipout` instead.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Whether to add a bias.
        prior_scale: Standard deviation of the priors, positive, or ``"fan_in"``.
        name: Prefix of the sites; the default is ``"dense_flipout"``.

    Sites:
        ``weight`` of event shape (in, out); ``bias`` of event shape (out,), if `bias`.

    Raises:
        ValueError: As `DenseReparameterization` and `handlers.flipout`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(DenseFlipout(3, 2, name="hidden"), 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Wen, Vicol, Ba, Tran, Grosse (2018), "Flipout: efficient pseudo-independent weight
        perturbations on mini-batches", ICLR, equation 4.
    """

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        with flipout():
            return self._affine(x)
