"""Draw pre-activations instead of weights."""

from jax import random
from jaxtyping import Array

from .. import primitives
from .._typing import Message
from ..distributions._dense_normal import affine_moments
from ._gradient_estimator import AbstractGradientEstimator, normal_moments


class local_reparameterization(AbstractGradientEstimator):  # noqa: N801
    r"""Draw each row's output from its normal distribution, with the weights integrated out.

    Under a factorized normal guide, weights $W \sim N(M, S^2)$ and bias
    $b \sim N(m_b, s_b^2)$, the outputs of row $n$ are independent normals,

    $$y_n \sim N\big(x_n M + m_b,\; x_n^2 S^2 + s_b^2\big)$$

    (squares are elementwise), and the handler draws them directly: one number for each row and
    unit. The gradient with respect to $S$ has much lower variance. A bias without such a guide
    is added as drawn.

    Args:
        fn: The model. Decorate the model instead of entering the handler around a jitted
            function: the cache of `jax.jit` ignores the handler stack.

    Raises:
        ValueError: For a weight that is used twice in a run (its two outputs would have to
            be correlated), and for an importance-weighted objective (several particles of
            `RenyiELBO`).

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro.infer import SVI, Trace_ELBO
        >>> from numpyro.infer.autoguide import AutoNormal
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> def model(x, y):
        ...     f = DenseReparameterization(3, 1, name="out")(x)[..., 0]
        ...     numpyro.sample("y", dist.Normal(f, 1.0).to_event(1), obs=y)
        >>> estimated = local_reparameterization(model)
        >>> svi = SVI(estimated, AutoNormal(model), optax.adam(1e-2), Trace_ELBO())
        >>> state = svi.init(jax.random.key(0), jnp.ones((8, 3)), jnp.ones(8))
        >>> state, loss = svi.update(state, jnp.ones((8, 3)), jnp.ones(8))

    References:
        Kingma, Salimans, Welling (2015), "Variational dropout and the local
        reparameterization trick", NeurIPS, equation 6.

    Note:
        The recorded values of the weights did not produce the outputs. The likelihood must
        factorize over the rows.
    """

    def _estimate(self, msg: Message, loc: Array, scale: Array) -> Array:
        name = msg["weight"].name
        if name in self._memory or primitives.TIED in msg["weight"].infer:
            raise ValueError(
                f"The weight {name!r} is used twice: local reparameterization would draw "
                "its two outputs independently. Use flipout, or the plain model."
            )
        self._memory[name] = True
        x, _, bias = msg["args"]
        moments = None if bias is None else normal_moments(msg["bias"])
        bias_loc, bias_scale = (bias, None) if moments is None else moments
        mean, deviation = affine_moments(
            msg["fn"], msg["op"].square, x, loc, scale, bias_loc, bias_scale
        )
        noise = random.normal(
            primitives.prng_key("local_reparameterization"), mean.shape, mean.dtype
        )
        return mean + deviation * noise
