"""A dense layer with the local reparameterization gradient estimator."""

from jaxtyping import Array, Float, Num

from ...handlers import local_reparameterization
from ._normal import AbstractNormalDense


class DenseLocalReparameterization(AbstractNormalDense):
    r"""Dense layer that draws its outputs rather than its weights.

    The model is the same as that of `DenseReparameterization`. Under a factorized normal guide,
    $W \sim N(M, S^2)$ and $b \sim N(m_b, s_b^2)$, the outputs are drawn from

    $$y_n \sim N(x_n M + m_b,\; x_n^2 S^2 + s_b^2)$$

    This is that layer inside `handlers.local_reparameterization`; without such a guide (NUTS,
    `Predictive`) it returns the plain value.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Whether to add a bias.
        prior_scale: Standard deviation of the priors, positive, or ``"fan_in"``.
        name: Prefix of the sites; the default is ``"dense_local_reparameterization"``.

    Sites:
        ``weight`` of event shape (in, out); ``bias`` of event shape (out,), if `bias`.

    Raises:
        ValueError: As `DenseReparameterization` and `handlers.local_reparameterization`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> seed(DenseLocalReparameterization(3, 2, name="f"), 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Kingma, Salimans, Welling (2015), "Variational dropout and the local
        reparameterization trick", NeurIPS, equation 6.
    """

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        with local_reparameterization():
            return self._affine(x)
