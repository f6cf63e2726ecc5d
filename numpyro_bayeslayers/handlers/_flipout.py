"""Weight perturbations that differ between the rows of a batch."""

from jax import random
from jaxtyping import Array

from .. import primitives
from .._typing import Message
from ._gradient_estimator import AbstractGradientEstimator


class flipout(AbstractGradientEstimator):  # noqa: N801
    r"""Decorrelate the weight draws of rows with random signs.

    A draw $W$ from a factorized normal guide of mean $M$ is applied to row $n$ as

    $$y_n = x_n M + \big((x_n \circ s_n)(W - M)\big) \circ r_n + b, \qquad
    s_n \in \{\pm 1\}^{in},\; r_n \in \{\pm 1\}^{out}$$

    with signs drawn for each row. The distribution of one row is that of the plain gradient
    estimator, so gradients have the same mean; rows are uncorrelated given the guide, so
    averages over a batch have smaller variance. The guide and the ELBO are unchanged.

    A weight that is used twice on inputs of the same shape gets the same signs both times, so
    that each row still sees one draw.

    Args:
        fn: The model. Decorate the model instead of entering the handler around a jitted
            function: the cache of `jax.jit` ignores the handler stack.

    Raises:
        ValueError: For an importance-weighted objective (several particles of `RenyiELBO`); for
            a weight used twice on inputs of different shapes, whose rows cannot be matched.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro.infer import SVI, Trace_ELBO
        >>> from numpyro.infer.autoguide import AutoNormal
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> def model(x, y):
        ...     f = DenseReparameterization(3, 1, name="out")(x)[..., 0]
        ...     numpyro.sample("y", dist.Normal(f, 1.0).to_event(1), obs=y)
        >>> svi = SVI(flipout(model), AutoNormal(model), optax.adam(1e-2), Trace_ELBO())
        >>> state = svi.init(jax.random.key(0), jnp.ones((8, 3)), jnp.ones(8))
        >>> state, loss = svi.update(state, jnp.ones((8, 3)), jnp.ones(8))

    References:
        Wen, Vicol, Ba, Tran, Grosse (2018), "Flipout: efficient pseudo-independent weight
        perturbations on mini-batches", ICLR, equations 3 and 4.

    Note:
        Deterministic sites that are computed directly from the weights do not include the sign
        flips. The likelihood must factorize over the rows.
    """

    _can_share = True

    def _estimate(self, msg: Message, loc: Array, scale: Array) -> Array:
        del scale
        (x, weight, bias), affine, op = msg["args"], msg["fn"], msg["op"]
        mean = affine(x, loc, bias)
        signs_in, signs_out = self._signs(msg["weight"], op, x, mean)
        return mean + signs_out * affine(op.flip(x, signs_in), weight - loc, None)

    def _signs(
        self, site: primitives.Site, op: primitives.AbstractLinearOp, x: Array, out: Array
    ) -> tuple[Array, Array]:
        shapes = op.signs_in(x.shape), op.signs_out(out.shape)
        if site.name not in self._memory:
            if primitives.TIED in site.infer:
                raise ValueError(
                    f"The tied weight {site.name!r} was used before without this flipout, so "
                    "its signs are not known. Use DenseReparameterization layers and one "
                    "flipout around the whole model."
                )
            keys = random.split(primitives.prng_key("flipout"))
            signs = [
                random.rademacher(key, shape, out.dtype)
                for key, shape in zip(keys, shapes, strict=True)
            ]
            self._memory[site.name] = signs[0], signs[1]
        signs_in, signs_out = self._memory[site.name]
        if (signs_in.shape, signs_out.shape) != shapes:
            raise ValueError(
                f"The weight {site.name!r} is used on inputs for which flipout draws signs of "
                f"shapes {signs_in.shape} and {shapes[0]}: it needs the same signs for the "
                "same row, and cannot match the rows. Give both inputs the same shape, or "
                "use the plain model."
            )
        return signs_in, signs_out
