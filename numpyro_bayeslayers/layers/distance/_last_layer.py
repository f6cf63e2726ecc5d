"""Last layers with a built-in normal posterior of the weights, fitted in closed form."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ..._base import AbstractLayer, AbstractVar, on_rows
from ..._settings import setting
from ...primitives import divergence, linear, param
from ..dense._optimized import constant, fan_in_normal
from ._bound import ExpectedCategorical, ExpectedNormal


class LastLayerOutputs(NamedTuple):
    """Outputs of a `VariationalLastLayer`: their distribution under the weights' posterior.

    Args:
        mean: The means, (n, out).
        var: The variances, (n, out).
    """

    mean: Array
    var: Array

    def normal(self, noise_scale: ArrayLike) -> dist.Distribution:
        r"""The likelihood with normal noise, for ``numpyro.sample(..., obs=y)``.

        Its log density is the expected one, $\log N(y; m, \sigma^2) - v / (2 \sigma^2)$, so
        that the model's log density is the evidence lower bound. Its draws are from the
        predictive distribution, which `Fit.log_density` uses for scores. Rows are batch axes;
        several outputs are the event axis.

        Args:
            noise_scale: Standard deviation $\sigma$ of the noise, positive: one number, or one
                for each row or output.

        Raises:
            ValueError: If `noise_scale` is not positive, or has another shape.
        """
        law = ExpectedNormal(*self._squeezed(), self._scale(noise_scale))
        return law if self.mean.shape[-1] == 1 else law.to_event(1)

    def predictive(self, noise_scale: ArrayLike) -> dist.Distribution:
        r"""The predictive distribution $N(m, v + \sigma^2)$, for scores of held-out rows.

        Args:
            noise_scale: As in `normal`.

        Raises:
            ValueError: If `noise_scale` is not positive, or has another shape.
        """
        law = ExpectedNormal(*self._squeezed(), self._scale(noise_scale)).predictive
        return law if self.mean.shape[-1] == 1 else law.to_event(1)

    def _squeezed(self) -> tuple[Array, Array]:
        if self.mean.shape[-1] > 1:
            return self.mean, self.var
        return self.mean[..., 0], self.var[..., 0]

    def _scale(self, noise_scale: ArrayLike) -> Array:
        _checks.all_positive("noise_scale", noise_scale)
        shape = self._squeezed()[0].shape
        scale = jnp.asarray(noise_scale, self.mean.dtype)
        pairs = zip(reversed(scale.shape), reversed(shape), strict=False)
        if scale.ndim > len(shape) or not all(own in (1, size) for own, size in pairs):
            raise ValueError(
                f"`noise_scale` must be one number or broadcast to the outputs' shape {shape}, "
                f"got shape {scale.shape}."
            )
        return scale


class LastLayerLogits(NamedTuple):
    """Logits of a `VariationalLastLayerClassifier`: their distribution under the posterior.

    Args:
        mean: The means, (n, classes).
        var: The variances, (n, classes).
    """

    mean: Array
    var: Array

    def categorical(self) -> dist.Distribution:
        r"""The likelihood of classes, for ``numpyro.sample(..., obs=y)``.

        Its log density is the bound $m_y - \log \sum_k e^{m_k + v_k / 2}$ on the mean log
        probability, so that the model's log density is a lower bound of the evidence; its draws
        are from the predictive distribution. `Fit.log_density` and the probabilities of
        `Fit.predict` use `basis.mean_field_logits`, not the bound.
        """
        return ExpectedCategorical(self.mean, self.var)


class _AbstractLastLayer(AbstractLayer):
    """Weights with a built-in normal posterior, independent between outputs."""

    in_features: AbstractVar[int]
    bias: AbstractVar[bool]
    prior_scale: AbstractVar[float]
    init_scale: AbstractVar[float]

    def _moments(
        self, x: Num[ArrayLike, "*batch d_in"], outputs: int
    ) -> tuple[Float[Array, "*rest d_out"], Float[Array, "*rest d_out"]]:
        """Mean and variance of so many outputs; registers posterior and divergence."""
        size = self.in_features + int(self.bias)

        def forward(x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n _"]:
            loc = param("weight_loc", fan_in_normal, (self.in_features, outputs))
            bias_loc = param("bias_loc", constant(0.0), (outputs,)) if self.bias else None
            tril = param(
                "scale_tril",
                lambda key, shape: _diagonal(self.init_scale, shape),
                (outputs, size, size),
                constraint=dist.constraints.lower_cholesky,
            ).value
            columns = jnp.swapaxes(loc.value, -1, -2)
            if bias_loc is not None:
                columns = jnp.concatenate([columns, bias_loc.value[..., None]], -1)
                ones = jnp.ones((*x.shape[:-1], 1), x.dtype)
                phi = jnp.concatenate([x, ones], -1)
            else:
                phi = x
            divergence("kl", _divergence(columns, tril, self.prior_scale).sum(-1))
            mean = linear(x, loc, bias_loc)
            spread = jnp.matmul(phi[..., None, :, :], tril)
            var = jnp.swapaxes(jnp.sum(jnp.square(spread), -1), -1, -2)
            return jnp.concatenate(jnp.broadcast_arrays(mean, var), -1)

        out = on_rows(forward, x, self.in_features)
        return out[..., :outputs], out[..., outputs:]


def _diagonal(scale: float, shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(scale * jnp.eye(shape[-1]), shape)


def _divergence(
    loc: Float[Array, "*outputs d"], tril: Float[Array, "*outputs d d"], prior_scale: float
) -> Float[Array, "*outputs"]:
    """KL divergence of N(loc, tril tril') from N(0, prior_scale^2 I), in nats."""
    size = loc.shape[-1]
    square = jnp.sum(jnp.square(tril), (-2, -1)) + jnp.sum(jnp.square(loc), -1)
    log_det = jnp.sum(jnp.log(jnp.diagonal(tril, axis1=-2, axis2=-1)), -1)
    return 0.5 * (square / prior_scale**2 - size) + size * math.log(prior_scale) - log_det


class VariationalLastLayer(_AbstractLastLayer):
    r"""A last layer for regression, with a closed-form evidence lower bound.

    $$f_k(x) = \phi(x)^\top w_k, \qquad w_k \sim N(0, s^2 I), \qquad q(w_k) = N(m_k, S_k)$$

    with a full covariance matrix $S_k$ for each output, and $\phi(x) = (x, 1)$. For normal
    noise the evidence lower bound needs no sampling,

    $$\sum_i \Big[\log N\big(y_i; \phi_i^\top m, \sigma^2\big)
    - \frac{\phi_i^\top S \phi_i}{2 \sigma^2}\Big] - \mathrm{KL}\big(q \,\|\, p\big),$$

    and its maximum is the log evidence, since the posterior given $\phi$ is normal. A network
    below is thus trained without gradient noise from weight samples, at the cost of one more
    product. The layer contains both its guide and its prior; priors of the network's weights
    and of the noise are separate sites.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Whether to add a bias, which is one of the weights.
        prior_scale: Standard deviation $s$ of the prior, positive.
        init_scale: Initial standard deviation of the posterior, positive.
        name: Prefix of the sites; the default is ``"variational_last_layer"``.

    Sites:
        Parameters ``weight_loc`` (in, out), ``bias_loc`` (out,), ``scale_tril`` (out, in + 1,
        in + 1), the Cholesky factor of $S$, without the 1 if there is no bias; the factor
        ``kl``, which `handlers.temper` weights.

    Returns:
        The means and variances (n, out) of the outputs, with the methods
        ``normal(noise_scale)``, the likelihood, and ``predictive(noise_scale)``.

    Raises:
        ValueError: If a size or a scale is not positive, or if the input's last axis is not
            `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp, numpyro
        >>> from numpyro.handlers import seed
        >>> def model(x, y=None):
        ...     f = VariationalLastLayer(3, 1, name="last")(jnp.tanh(x))
        ...     with numpyro.plate("rows", len(x)):
        ...         return numpyro.sample("y", f.normal(0.1), obs=y)
        >>> seed(model, 0)(jnp.ones((5, 3))).shape
        (5,)

    References:
        Harrison, Willes, Snoek (2024), "Variational Bayesian last layers", ICLR, theorem 1.

    Note:
        In the paper, the noise has an inverse Wishart prior and a point estimate: here, draw
        its scale at a site, with an `AutoDelta` guide.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    bias: bool = setting(check=_checks.switch, default=True)
    prior_scale: float = setting(check=_checks.positive, default=1.0)
    init_scale: float = setting(check=_checks.positive, default=0.1)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _forward(self, x: Num[ArrayLike, "*batch d_in"]) -> LastLayerOutputs:
        return LastLayerOutputs(*self._moments(x, self.out_features))


class VariationalLastLayerClassifier(_AbstractLastLayer):
    r"""A last layer for classification, with a closed-form lower bound.

    $$f_k(x) = \phi(x)^\top w_k, \qquad P(y = k) \propto e^{f_k}, \qquad
    w_k \sim N(0, s^2 I), \qquad q(w_k) = N(m_k, S_k)$$

    By Jensen's inequality for the normalizer, with $v_k = \phi^\top S_k \phi$,

    $$E_q[\log P(y)] \ge \phi^\top m_y - \log \sum_k e^{\phi^\top m_k + v_k / 2},$$

    so the sum over rows minus the divergence is a lower bound of the evidence, without sampling.

    Args:
        in_features: Size of the last axis of the input.
        num_classes: Number of classes.
        bias: Whether to add a bias, which is one of the weights.
        prior_scale: Standard deviation $s$ of the prior, positive.
        init_scale: Initial standard deviation of the posterior, positive.
        name: Prefix of the sites; the default is ``"variational_last_layer_classifier"``.

    Sites:
        Parameters ``weight_loc`` (in, classes), ``bias_loc`` (classes,), ``scale_tril`` (classes,
        in + 1, in + 1), the Cholesky factor of $S$, without the 1 if there is no bias; the
        factor ``kl``, which `handlers.temper` weights.

    Returns:
        The means and variances (n, classes) of the logits, with the method ``categorical()``,
        the likelihood.

    Raises:
        ValueError: If a size or a scale is not positive, or if the input's last axis is not
            `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp, numpyro
        >>> from numpyro.handlers import seed
        >>> def model(x, y=None):
        ...     f = VariationalLastLayerClassifier(3, 4, name="last")(jnp.tanh(x))
        ...     with numpyro.plate("rows", len(x)):
        ...         return numpyro.sample("y", f.categorical(), obs=y)
        >>> seed(model, 0)(jnp.ones((5, 3))).shape
        (5,)

    References:
        Harrison, Willes, Snoek (2024), "Variational Bayesian last layers", ICLR, theorem 2.

    Note:
        In the paper, logits have additional noise, whose variance adds to $v_k$; here it is zero.
    """

    in_features: int = setting(check=_checks.size)
    num_classes: int = setting(check=_checks.size)
    bias: bool = setting(check=_checks.switch, default=True)
    prior_scale: float = setting(check=_checks.positive, default=1.0)
    init_scale: float = setting(check=_checks.positive, default=0.1)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _forward(self, x: Num[ArrayLike, "*batch d_in"]) -> LastLayerLogits:
        return LastLayerLogits(*self._moments(x, self.num_classes))
