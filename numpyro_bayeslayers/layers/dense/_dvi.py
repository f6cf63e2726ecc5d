"""A dense layer that propagates means and variances."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import AbstractLayer, on_rows
from ..._settings import setting
from ...primitives import divergence, linear, param
from ._optimized import constant, fan_in_normal


class DenseDVI(AbstractLayer):
    r"""Dense layer that maps means and variances, without sampling.

    For independent inputs of mean $m$ and variance $v$ and weights with the guide
    $W \sim N(M, S^2)$, $b \sim N(m_b, s_b^2)$ (squares elementwise),

    $$E[y] = m M + m_b, \qquad \mathrm{Var}[y] = v M^2 + (m^2 + v) S^2 + s_b^2$$

    Put `basis.relu_moments` between two such layers. The layer contains both its guide and its
    prior: the divergence from the prior $N(0, s^2)$ enters the model as a factor.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Whether to add a bias.
        prior_scale: Standard deviation $s$ of the prior, positive.
        init_log_var: Initial log variance of the guide.
        name: Prefix of the sites; the default is ``"dense_dvi"``.

    Sites:
        Parameters ``weight_loc``, ``weight_log_var`` (in, out), ``bias_loc``,
        ``bias_log_var`` (out,); the factor ``kl``, which `handlers.temper` weights.

    Returns:
        Mean and variance of the outputs. The layer is called with a mean and a variance;
        without the variance, the input is treated as known exactly.

    Raises:
        ValueError: If a size or the scale is not positive, or if the input's last axis is
            not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> mean, var = seed(DenseDVI(3, 2, name="f"), 0)(jnp.ones((5, 3)))
        >>> mean.shape, var.shape
        ((5, 2), (5, 2))

    References:
        Wu, Nowozin, Meeds, Turner, Hernandez-Lobato, Gaunt (2018), "Deterministic
        variational inference for robust Bayesian neural networks", ICLR 2019, section 3.

    Note:
        The paper propagates the full covariance between units; this layer propagates variances
        (the paper's diagonal variant). It can only be followed by an activation whose moments
        are known: ReLU qualifies, tanh does not.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    bias: bool = setting(check=_checks.switch, default=True)
    prior_scale: float = setting(check=_checks.positive, default=1.0)
    init_log_var: float = setting(check=_checks.finite, default=-3.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _forward(
        self,
        mean: Num[ArrayLike, "*batch d_in"],
        var: Num[ArrayLike, "*batch d_in"] | None = None,
    ) -> tuple[Float[Array, "*rest d_out"], Float[Array, "*rest d_out"]]:
        mean = _checks.array("mean", mean)
        var = jnp.zeros_like(mean) if var is None else _checks.array("var", var)
        _checks.last_axis("mean", mean, "in_features", self.in_features)
        if var.shape != mean.shape:
            raise ValueError(
                f"`var` must have the shape of `mean`, {mean.shape}, got {var.shape}."
            )
        moments = jnp.concatenate([mean, var], axis=-1)
        out = on_rows(self._moments, moments, 2 * self.in_features)
        return out[..., : self.out_features], out[..., self.out_features :]

    def _moments(self, moments: Float[Array, "*plates n _"]) -> Float[Array, "*rest n _"]:
        mean, var = moments[..., : self.in_features], moments[..., self.in_features :]
        shape = (self.in_features, self.out_features)
        loc = param("weight_loc", fan_in_normal, shape)
        log_var = param("weight_log_var", constant(self.init_log_var), shape)
        kl = self._kl(loc.value, log_var.value).sum((-2, -1))
        bias = bias_var = None
        if self.bias:
            bias = param("bias_loc", constant(0.0), shape[1:])
            bias_log_var = param("bias_log_var", constant(self.init_log_var), shape[1:])
            kl = kl + self._kl(bias.value, bias_log_var.value).sum(-1)
            bias_var = jnp.exp(bias_log_var.line_up(2))
        divergence("kl", kl)
        out = linear(mean, loc, bias)
        weight_var = jnp.exp(log_var.value)
        out_var = var @ jnp.square(loc.value) + (jnp.square(mean) + var) @ weight_var
        out_var = out_var if bias_var is None else out_var + bias_var
        return jnp.concatenate([out, out_var], axis=-1)

    def _kl(self, loc: Array, log_var: Array) -> Array:
        """KL divergence of N(loc, exp(log_var)) from the prior, elementwise, in nats."""
        square = self.prior_scale**2
        return 0.5 * (
            (jnp.exp(log_var) + jnp.square(loc)) / square - 1.0 - log_var + jnp.log(square)
        )
