"""The dense layer with any prior over its weight matrix."""

from collections.abc import Callable

import numpyro.distributions as dist
from jaxtyping import Array, Float, Num
from numpyro.handlers import block, seed

from ... import _checks
from ..._base import AbstractRowLayer
from ..._settings import setting
from ...primitives import linear, sample_site
from ._prior import normal


class DenseVariational(AbstractRowLayer):
    r"""Dense layer with a user-defined prior over the weight.

    $$y = x W + b, \qquad W \sim p, \quad b_j \sim N(0, 1)$$

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        make_prior: Function of (in_features, out_features) that returns the prior $p$: a
            distribution whose batch and event shape together are (in, out). It may draw further
            sites, for hierarchical priors.
        bias: Whether to add a bias.
        name: Prefix of the sites; the default is ``"dense_variational"``.

    Sites:
        ``weight`` of event shape (in, out), after the sites of `make_prior` if it has any;
        ``bias`` of event shape (out,), if `bias`.

    Raises:
        ValueError: If a size is not positive, or if the prior has a different shape.
        TypeError: If `make_prior` does not return a distribution, or cannot be called.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro.handlers import seed
        >>> def make_prior(d_in, d_out):
        ...     return dist.Laplace(0.0, 1.0).expand([d_in, d_out])
        >>> seed(DenseVariational(3, 2, make_prior, name="f"), 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Kingma and Welling (2014), "Auto-encoding variational Bayes", ICLR, section 2.4.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    make_prior: Callable[[int, int], dist.Distribution] = setting(check=_checks.function)
    bias: bool = setting(check=_checks.switch, default=True)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        with block(), seed(rng_seed=0):
            self._prior()

    def _prior(self) -> dist.Distribution:
        prior = self.make_prior(self.in_features, self.out_features)
        kind = "a function that returns a numpyro distribution"
        if not isinstance(prior, dist.Distribution):
            raise TypeError(f"`make_prior` must be {kind}, got one that returns {prior!r}.")
        shape = tuple(prior.shape())
        if shape != (self.in_features, self.out_features):
            raise ValueError(
                f"`make_prior` must give a prior of shape {self.in_features, self.out_features} "
                f"(in_features, out_features), got {shape}. `expand` it to that shape."
            )
        return prior.to_event(len(prior.batch_shape))

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        weight = sample_site("weight", self._prior())
        if not self.bias:
            return linear(x, weight)
        return linear(x, weight, sample_site("bias", normal((self.out_features,))))
