"""A dense layer with a learned dropout rate for each weight."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer
from ..._settings import setting
from ...primitives import divergence, linear, param, prng_key
from ._optimized import constant, fan_in_normal

# Molchanov et al. (2017), below equation 14.
_K1, _K2, _K3 = 0.63576, 1.8732, 1.48695


class DenseVariationalDropout(AbstractRowLayer):
    r"""Dense layer that learns a dropout rate for each weight.

    Weights have the guide $N(\theta, \alpha\theta^2)$ and a log-uniform prior, and outputs
    are drawn by local reparameterization,

    $$y_n \sim N\big(x_n \theta + b,\; x_n^2 (\alpha \theta^2)\big)$$

    The divergence is approximated, up to a constant, by

    $$\mathrm{KL} = -k_1 \sigma(k_2 + k_3 \log\alpha) + \tfrac12 \log(1 + \alpha^{-1}) + k_1$$

    The layer contains both its guide and its prior: it has no sample sites, and an empty guide
    is enough for it.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Whether to add a bias, which is optimized, without a prior.
        log_alpha_init: Initial $\log\alpha$, the log of variance over squared mean.
        threshold: $\log\alpha$ above which a weight counts as pruned.
        name: Prefix of the sites; the default is ``"dense_variational_dropout"``.

    Sites:
        Parameters ``theta`` (in, out), ``log_alpha`` (in, out) and ``bias`` (out,); the
        factor ``kl``, which `handlers.temper` weights.

    Raises:
        ValueError: If a size is not positive, a number is not finite, or there is no key.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = DenseVariationalDropout(3, 2, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 2)
        >>> float(layer.sparsity({"f.log_alpha": jnp.array([[4.0, 0.0]])}))
        0.5

    References:
        Molchanov, Ashukha, Vetrov (2017), "Variational dropout sparsifies deep neural
        networks", ICML, equations 10 and 14.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    bias: bool = setting(check=_checks.switch, default=True)
    log_alpha_init: float = setting(check=_checks.finite, default=-5.0)
    threshold: float = setting(check=_checks.finite, default=3.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        shape = (self.in_features, self.out_features)
        theta = param("theta", fan_in_normal, shape)
        log_alpha = param("log_alpha", constant(self.log_alpha_init), shape).value
        bias = param("bias", constant(0.0), shape[1:]) if self.bias else None
        divergence("kl", jnp.sum(_log_uniform_kl(log_alpha), axis=(-2, -1)))
        mean = linear(x, theta, bias)
        var = jnp.square(x) @ (jnp.exp(log_alpha) * jnp.square(theta.value))
        noise = random.normal(prng_key("DenseVariationalDropout"), mean.shape, mean.dtype)
        # Local reparameterization; no gradient through the square root of a zero variance.
        return mean + jnp.sqrt(jnp.maximum(var, jnp.finfo(var.dtype).tiny)) * noise

    def sparsity(self, params: Mapping[str, Array]) -> Float[Array, ""]:
        """Fraction of weights whose log alpha is above the threshold.

        Args:
            params: Optimized parameters by site name, as returned by `SVI.get_params`.

        Raises:
            TypeError: If `params` is not a mapping.
            ValueError: If they lack this layer's ``log_alpha``.
        """
        _checks.instance("params", params, Mapping, "the parameters by site name")
        name = f"{self.prefix}.log_alpha"
        if name not in params:
            raise ValueError(
                f"`params` must have the site {name!r}, got {sorted(params)}. Give the "
                "layer the name that it had in training."
            )
        return jnp.mean(params[name] > self.threshold)


def _log_uniform_kl(log_alpha: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Divergence of N(theta, alpha theta^2) from the log-uniform prior, in nats."""
    return _K1 * (1.0 - jax.nn.sigmoid(_K2 + _K3 * log_alpha)) + 0.5 * jax.nn.softplus(
        -log_alpha
    )
