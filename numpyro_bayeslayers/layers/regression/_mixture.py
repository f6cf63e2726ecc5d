"""Coefficients that come from one of several priors."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float, Num

from ... import _checks
from ...primitives import linear, sample, sample_site
from ._call import Activation, identity, named, on_columns
from ._prior import ZERO_LOC, Prior, spread


class MixtureLayer(eqx.Module):
    r"""Linear terms whose coefficients come from one of several priors.

    $$y = a(x \beta), \qquad \beta_{iu} \sim \sum_k w_{ku}\, p_k, \qquad
    w_{\cdot u} \sim \text{Dirichlet}(\alpha)$$

    with the given priors $p_k$: for example, most coefficients small and some large, or each
    near one of two known values. The component of each coefficient is summed out, so that every
    inference method works; `component_probabilities` recovers it. Call it as
    ``layer(name, x, units=1, activation=identity)`` with `x` of shape (n, d); the output has
    shape (n, units).

    The posterior may have several modes, especially if the priors are narrow and far apart:
    compare chains.

    Args:
        priors: Two or more univariate distributions on the real line.
        weights: Positive numbers that sum to one, the weights $w$; or a `Dirichlet`, their
            prior; or None for the prior with all $\alpha = 1$.

    Sites:
        ``weights`` (u, k), unless they are given; ``beta`` (d, u).

    Raises:
        ValueError: If there are fewer than two priors, if a prior is not univariate on the real
            line, or if `weights` is not one positive number for each prior with sum one.
        TypeError: If a prior is not a distribution, or a weight is not a number.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro.handlers import seed
        >>> layer = MixtureLayer([dist.Normal(0.0, 0.05), dist.Normal(0.0, 1.0)])
        >>> seed(layer, 0)("genes", jnp.ones((5, 3))).shape
        (5, 1)

    References:
        Gelman, Carlin, Stern, Dunson, Vehtari, Rubin (2013), "Bayesian data analysis", section
        22.1; George and McCulloch (1993), "Variable selection via Gibbs sampling", Journal of
        the American Statistical Association 88, section 2.
    """

    priors: tuple[Prior, ...] = eqx.field(static=True)
    weights: tuple[float, ...] | None = eqx.field(static=True)
    concentration: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        priors: Sequence[dist.Distribution],
        weights: Sequence[float] | Float[ArrayLike, " k"] | dist.Distribution | None = None,
    ) -> None:
        self.priors = _checked_priors(priors)
        self.concentration = (1.0,) * len(self.priors)
        self.weights = None
        if isinstance(weights, dist.Distribution):
            is_one = isinstance(weights, dist.Dirichlet) and not weights.batch_shape
            if not is_one or weights.event_shape != (len(self.priors),):
                raise ValueError(
                    f"`weights` must be a Dirichlet of {len(self.priors)} weights, got "
                    f"{type(weights).__name__} of batch shape {weights.batch_shape} and event "
                    f"shape {weights.event_shape}."
                )
            self.concentration = tuple(np.asarray(weights.concentration).tolist())
        elif weights is not None:
            self.weights = _checked_weights(weights, len(self.priors))

    @named
    def __call__(
        self,
        name: str,
        x: Num[ArrayLike, "..."],
        units: int = 1,
        activation: Activation = identity,
    ) -> Float[Array, "*batch n u"]:
        def rows(x: Array) -> Array:
            probs: Any = jnp.asarray(self.weights) if self.weights else self._drawn(units)
            logits = jnp.log(jnp.maximum(probs, jnp.finfo(probs.dtype).tiny))
            mixture = dist.MixtureGeneral(dist.Categorical(logits=logits), self._laws())
            return linear(x, sample_site("beta", spread(mixture, (x.shape[-1], units))))

        return activation(on_columns(rows, x))

    def component_probabilities(
        self,
        beta: Float[ArrayLike, "*draws d u"],
        weights: Float[ArrayLike, "*draws u k"] | None = None,
    ) -> Float[Array, "*draws d u k"]:
        r"""Probability that each coefficient comes from each prior, given its value.

        $$\frac{w_k\, p_k(\beta)}{\sum_l w_l\, p_l(\beta)}$$

        The mean over posterior draws is the posterior probability.

        Args:
            beta: Draws of ``beta``.
            weights: The matching draws of ``weights``, if the layer draws them.

        Raises:
            ValueError: If the layer draws its weights and `weights` is missing, or the reverse.

        Example:
            >>> import jax.numpy as jnp, numpyro.distributions as dist
            >>> priors = [dist.Normal(0.0, 0.1), dist.Normal(0.0, 1.0)]
            >>> layer = MixtureLayer(priors, weights=[0.5, 0.5])
            >>> layer.component_probabilities(jnp.ones((1, 1))).round(3).tolist()
            [[[0.0, 1.0]]]
        """
        if (weights is None) == (self.weights is None):
            raise ValueError(
                "`weights` must be the draws of the site of this name if the layer draws it, and "
                "None otherwise."
            )
        given = jnp.asarray(self.weights if weights is None else weights)
        if weights is not None:
            given = given[..., None, :, :]
        value = jnp.asarray(beta)
        each = jnp.stack([law.log_prob(value) for law in self._laws()], axis=-1)
        return jax.nn.softmax(jnp.log(given) + each, axis=-1)

    def _drawn(self, units: int) -> Array:
        law = dist.Dirichlet(jnp.asarray(self.concentration)).expand([units]).to_event(1)
        return sample("weights", law, rank=3)

    def _laws(self) -> list[Any]:
        return [prior.ready for prior in self.priors]


def _checked_priors(priors: Any) -> tuple[Prior, ...]:
    if isinstance(priors, dist.Distribution) or not isinstance(priors, Sequence):
        raise TypeError(
            f"`priors` must be a sequence of distributions, got {type(priors).__name__}."
        )
    if len(priors) < 2:
        raise ValueError(f"`priors` must be two distributions or more, got {len(priors)}.")
    for i, prior in enumerate(priors):
        if not isinstance(prior, dist.Distribution):
            raise TypeError(
                f"`priors` must be distribution objects of numpyro, got {prior!r} "
                f"({type(prior).__name__}) as number {i}."
            )
        is_real = prior.support is dist.constraints.real
        if prior.batch_shape or prior.event_shape or not is_real:
            raise ValueError(
                "`priors` must be distributions of single numbers with the real line as their "
                f"support, got {type(prior).__name__} of batch shape {prior.batch_shape}, event "
                f"shape {prior.event_shape} and support {prior.support} as number {i}."
            )
    return tuple(Prior("priors", prior, ZERO_LOC, ZERO_LOC, False) for prior in priors)


def _checked_weights(weights: Any, count: int) -> tuple[float, ...]:
    found = _checks.sequence(_checks.positive)("weights", weights)
    if len(found) != count:
        raise ValueError(
            f"`weights` must be one for each of {count} priors, got {len(found)}."
        )
    if abs(sum(found) - 1.0) > 1e-5:
        raise ValueError(f"`weights` must sum to one, got {found} of sum {sum(found):g}.")
    return tuple(w / sum(found) for w in found)
