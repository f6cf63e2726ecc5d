"""Classes with label noise that differs between rows and is correlated between classes."""

import math

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer, call_child
from ..._settings import setting
from ...primitives import prng_key
from ..dense._prior import PriorScale, checked_scale
from ..dense._reparameterization import DenseReparameterization


class _AbstractFactorNoise(AbstractRowLayer):
    """Draws logits around a mean, with noise of low rank."""

    in_features: int = setting(check=_checks.size)
    num_classes: int = setting(check=_checks.size)
    rank: int = setting(check=_checks.count)
    num_mc_samples: int = setting(check=_checks.size, default=100)
    temperature: float = setting(check=_checks.positive, default=1.0)
    prior_scale: PriorScale = setting(check=checked_scale, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _logits(
        self, x: Num[Array, "*plates n d_in"]
    ) -> Float[Array, "s *rest n num_classes"]:
        """Draws of the logits over the temperature."""
        k, rank = self.num_classes, self.rank
        loc = self._dense("loc", x, k)
        scale = jax.nn.softplus(self._dense("scale", x, k))
        factor = self._dense("factor", x, k * rank) if rank else None
        key_own, key_shared = random.split(prng_key(f"The noise of {type(self).__name__}"))
        lead = (self.num_mc_samples, *loc.shape[:-1])
        logits = loc + scale * random.normal(key_own, (*lead, k), loc.dtype)
        if factor is not None:
            factor = factor.reshape((*factor.shape[:-1], k, rank))
            shared = random.normal(key_shared, (*lead, rank), loc.dtype)
            logits = logits + jnp.einsum("...kr,...r->...k", factor, shared)
        return logits / self.temperature

    def _dense(self, name: str, x: Array, size: int) -> Array:
        layer = DenseReparameterization(self.in_features, size, True, self.prior_scale)
        return call_child(name, layer, x)


class MCSoftmaxDenseFA(_AbstractFactorNoise):
    r"""A last layer for classes with heteroscedastic label noise.

    $$p(x) = \frac{1}{S} \sum_{s=1}^S \mathrm{softmax}(u_s / \tau), \qquad
    u_s \sim N\big(\mu(x),\ V(x) V(x)^\top + \operatorname{diag}(d(x)^2)\big)$$

    The means $\mu$, the factor $V$ (classes, rank) and, through the softplus, the deviations
    $d$ are each linear in $x$. A row with an ambiguous label has noise along the confused
    classes, and thus less influence on the rest of the network.

    Args:
        in_features: Size of the last axis of the input.
        num_classes: Number of classes.
        rank: Columns of the factor $V$; 0 for noise that is independent between classes.
        num_mc_samples: Number $S$ of draws for each row, in training and in prediction.
        temperature: $\tau$, positive. At low temperatures, a draw is close to the class of its
            largest logit, and gradients have more variance.
        prior_scale: Standard deviation of the weights' priors, positive, or ``"fan_in"``.
        name: Prefix of the sites; the default is ``"mc_softmax_dense_fa"``.

    Sites:
        ``loc.weight`` (in, classes), ``scale.weight`` (in, classes), ``factor.weight`` (in,
        classes * rank), each with a ``bias``; no ``factor`` if the rank is 0.

    Returns:
        The logarithm of $p$, (n, classes): logits for `categorical_link`. Each call draws new
        noise for each row.

    Raises:
        ValueError: If a setting is out of range, if the input's last axis is not `in_features`,
            or if there is no random key.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = MCSoftmaxDenseFA(3, 4, rank=2, name="f")
        >>> log_p = seed(layer, 0)(jnp.ones((5, 3)))
        >>> log_p.shape, bool(jnp.allclose(jnp.exp(log_p).sum(-1), 1.0))
        ((5, 4), True)

    References:
        Collier, Mustafa, Kokiopoulou, Jenatton, Berent (2021), "Correlated input-dependent
        label noise in large-scale image classification", CVPR, section 3 and algorithm 1.

    Note:
        The logarithm of a mean of draws is biased downward, by about the variance of the mean
        divided by twice its square: an objective is a lower bound, which is tighter with more
        draws. Under NUTS the key is the same in every call, so the noise is frozen.
    """

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        draws = jax.nn.log_softmax(self._logits(x), -1)
        return jax.nn.logsumexp(draws, 0) - math.log(self.num_mc_samples)


class MCSigmoidDenseFA(_AbstractFactorNoise):
    r"""A last layer for several labels per row, with correlated heteroscedastic noise.

    $$p_k(x) = \frac{1}{S} \sum_{s=1}^S \mathrm{sigmoid}(u_{sk} / \tau), \qquad
    u_s \sim N\big(\mu(x),\ V(x) V(x)^\top + \operatorname{diag}(d(x)^2)\big)$$

    This is the model of `MCSoftmaxDenseFA` for multi-label data, where a row may have any
    number of labels.

    Args:
        in_features: Size of the last axis of the input.
        num_classes: Number of labels.
        rank: Columns of the factor $V$; 0 for noise that is independent between labels.
        num_mc_samples: Number $S$ of draws for each row, in training and in prediction.
        temperature: $\tau$, positive. At low temperatures, a draw is close to the class of its
            largest logit, and gradients have more variance.
        prior_scale: Standard deviation of the weights' priors, positive, or ``"fan_in"``.
        name: Prefix of the sites; the default is ``"mc_sigmoid_dense_fa"``.

    Sites:
        ``loc.weight`` (in, labels), ``scale.weight`` (in, labels), ``factor.weight`` (in,
        labels * rank), each with a ``bias``; no ``factor`` if the rank is 0.

    Returns:
        The log odds of $p$, (n, labels): for `logit_link`. Each call draws new noise for each
        row.

    Raises:
        ValueError: If a setting is out of range, if the input's last axis is not `in_features`,
            or if there is no random key.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> layer = MCSigmoidDenseFA(3, 4, rank=2, name="f")
        >>> seed(layer, 0)(jnp.ones((5, 3))).shape
        (5, 4)

    References:
        Collier, Mustafa, Kokiopoulou, Jenatton, Berent (2021), "Correlated input-dependent
        label noise in large-scale image classification", CVPR, section 3.
    """

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        draws = self._logits(x)
        yes = jax.nn.logsumexp(jax.nn.log_sigmoid(draws), 0)
        return yes - jax.nn.logsumexp(jax.nn.log_sigmoid(-draws), 0)
