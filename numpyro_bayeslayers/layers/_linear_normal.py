"""Layers that are linear in normal weights, as distributions over functions."""

import abc
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, ArrayLike, Float, Num
from numpyro.primitives import Messenger

from .. import _checks, primitives
from .._base import AbstractLayer
from .._typing import Message
from ..handlers._tie import Remember


class LinearNormal(NamedTuple):
    """A linear map of features whose weights are independent normals.

    `loc` and `scale` have shape (F,) for a single output, which is squeezed, and (out, F)
    otherwise; they broadcast against each other. `sites` maps such weights to the values of the
    layer's sites.
    """

    features: Callable[[Array], Array]
    loc: Array
    scale: Array
    sites: Callable[[Array], dict[str, Array]]


class WeightPosterior(NamedTuple):
    """The posterior of a layer's weights, as returned by `condition`.

    `weights` is their normal distribution, of event shape (F,); its batch shape is (out,) if
    the layer has several outputs.
    """

    weights: dist.MultivariateNormal
    prior: LinearNormal
    prefix: str

    def marginal(
        self, x: Num[ArrayLike, "n d_in"], noise_scale: ArrayLike
    ) -> dist.LowRankMultivariateNormal:
        """The posterior predictive distribution of observations at new rows.

        Args:
            x: Rows, (n, in).
            noise_scale: Standard deviation of the noise, positive: one value, or one for each row.
        """
        phi = _features_at(self.prior, x)
        factor = jnp.matmul(phi, self.weights.scale_tril)
        loc = jnp.matmul(phi, self.weights.loc[..., None])[..., 0]
        return _low_rank_normal(loc, factor, noise_scale)

    def sites(self, weights: Float[Array, "*batch F"]) -> dict[str, Array]:
        """Convert weights, such as draws from `weights`, to values of the layer's sites by name."""
        values = self.prior.sites(weights)
        return {f"{self.prefix}.{name}": value for name, value in values.items()}


class AbstractLinearNormal(AbstractLayer):
    """A layer that is linear in weights with independent normal priors.

    Subclasses implement `_linear_normal`, which draws every site except those weights.
    """

    @abc.abstractmethod
    def _linear_normal(self) -> LinearNormal:
        """Draw the hyperparameters; return the features and the prior of the weights."""

    def marginal(
        self, x: Num[ArrayLike, "*plates n d_in"], noise_scale: ArrayLike
    ) -> dist.LowRankMultivariateNormal:
        r"""The distribution of noisy outputs at the rows of `x`, with the weights integrated out.

        $$y \sim N\big(\Phi m,\ \Phi S^2 \Phi^\top + \sigma^2 I\big)$$

        for features $\Phi$ and weights $w \sim N(m, S^2)$. The hyperparameters remain sites of
        the layer; the weights are not sites.
        ``numpyro.sample("y", layer.marginal(x, sigma), obs=y)`` gives collapsed inference: NUTS
        samples only the hyperparameters.

        Args:
            x: Rows, (n, in).
            noise_scale: Standard deviation $\sigma$ of the noise, positive: one, or one for
                each row.

        Returns:
            A `LowRankMultivariateNormal` of event shape (n,); its batch shape is (out,) if
            the layer has several outputs. The cost is $O(n F^2)$ for $F$ features.

        Raises:
            ValueError: If `x` is not a matrix with one column for each input of the layer, if
                `noise_scale` is not positive, or if the layer has several outputs and is called
                inside a plate.
        """
        with primitives.scope(prefix=self.prefix):
            prior = self._linear_normal()
            phi = _features_at(prior, x)
        loc = jnp.matmul(phi, prior.loc[..., None])[..., 0]
        factor = phi * prior.scale[..., None, :]
        return _low_rank_normal(loc, factor, noise_scale)

    def condition(
        self,
        x: Num[ArrayLike, "*plates n d_in"],
        y: Num[ArrayLike, "..."],
        noise_scale: ArrayLike,
    ) -> WeightPosterior:
        r"""The exact posterior of the weights, given rows and their noisy outputs.

        $$w \mid y \sim N\big(m + A^{-1} \Phi^\top (y - \Phi m) / \sigma^2,\ A^{-1}\big), \qquad
        A = S^{-2} + \Phi^\top \Phi / \sigma^2$$

        The hyperparameters are sites of the layer, as in `marginal`: run it in a model whose
        hyperparameters come from posterior draws (`numpyro.infer.Predictive`).

        Args:
            x: Rows, (n, in).
            y: Outputs, in the shape of a draw from `marginal`.
            noise_scale: Standard deviation $\sigma$ of the noise, positive: one, or one for
                each row.

        Returns:
            A `WeightPosterior`: `weights` is the normal posterior,
            ``marginal(x_new, noise_scale)`` the posterior predictive distribution, and
            ``sites(draws)`` converts draws to values of the layer's sites.

        Raises:
            ValueError: If `x` is not a matrix with one column for each input of the layer, if
                `y` has a different number of rows, or if `noise_scale` is not positive.
        """
        with primitives.scope(prefix=self.prefix):
            prior = self._linear_normal()
            phi = _features_at(prior, x)
        y = _checks.array("y", y)
        if y.shape[-1:] != phi.shape[-2:-1]:
            raise ValueError(
                f"`y` must have the rows of `x` in its last axis ({phi.shape[-2]} rows), got "
                f"shape {y.shape}. For several outputs, transpose it to (out, n)."
            )
        residual = y - jnp.matmul(phi, prior.loc[..., None])[..., 0]
        std = jnp.sqrt(_variance(noise_scale, residual))
        # The least-squares form has the condition number of the features, not its square.
        whitened = phi * prior.scale[..., None, :] / std[..., None]
        shape = jnp.broadcast_shapes(whitened.shape[:-2], residual.shape[:-1])
        size = whitened.shape[-1]
        eye = jnp.broadcast_to(jnp.eye(size, dtype=whitened.dtype), shape + (size, size))
        stacked = jnp.concatenate(
            [jnp.broadcast_to(whitened, shape + whitened.shape[-2:]), eye], -2
        )
        q, r = jnp.linalg.qr(stacked)
        target = (residual / std)[..., None]
        projected = jnp.matmul(jnp.swapaxes(q[..., : phi.shape[-2], :], -1, -2), target)
        mean = solve_triangular(r, projected, lower=False)[..., 0]
        # r'r is the precision; we need a lower triangular factor of its inverse.
        inverse = solve_triangular(r, eye, lower=False)
        upper = jnp.linalg.qr(jnp.swapaxes(inverse, -1, -2), mode="r")
        lower = jnp.swapaxes(upper, -1, -2)
        lower = lower * jnp.sign(jnp.diagonal(lower, axis1=-2, axis2=-1))[..., None, :]
        weights = dist.MultivariateNormal(
            prior.loc + prior.scale * mean, scale_tril=lower * prior.scale[..., None]
        )
        return WeightPosterior(weights, prior, self.prefix)


def remembered(call: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """`call` as a function of rows, which reuses the values drawn on its first call."""
    memory = Remember()

    def features(x: Array) -> Array:
        with memory:
            return call(x)

    return features


class _exact(Messenger):  # noqa: N801
    """Use plain products: independent noise for each row would bias the joint distribution."""

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "linear":
            msg["value"] = msg["fn"](*msg["args"])
            msg["stop"] = True


def _features_at(prior: LinearNormal, x: ArrayLike) -> Array:
    """Features (*plates, n, F), with an axis for the outputs if there are several."""
    x = _checks.array("x", x)
    if x.ndim < 2:
        raise ValueError(
            f"`x` must be a matrix of rows, (n, in), got shape {x.shape}. Add an axis."
        )
    with _exact():
        phi = prior.features(x)
    if prior.loc.ndim == 1:
        return phi
    if primitives.plate_shape():
        raise ValueError(
            "A layer of several outputs has a marginal of batch shape (out,), which would "
            "not line up with the enclosing plate. Use one layer for each output."
        )
    return phi[None]


def _low_rank_normal(
    loc: Array, factor: Array, noise_scale: ArrayLike
) -> dist.LowRankMultivariateNormal:
    """Distribution of a linear map of standard normals plus noise; all outputs share its factor."""
    factor = jnp.broadcast_to(factor, loc.shape[:-1] + factor.shape[-2:])
    return dist.LowRankMultivariateNormal(loc, factor, _variance(noise_scale, loc))


def _variance(noise_scale: ArrayLike, loc: Array) -> Array:
    """Noise variance of each row; `noise_scale` has one value, or one per plate cell or row."""
    _checks.all_positive("noise_scale", noise_scale)
    scale = jnp.asarray(noise_scale, loc.dtype)
    if 0 < scale.ndim <= len(primitives.plate_shape()):
        scale = scale[..., None]
    return jnp.square(jnp.broadcast_to(scale, jnp.broadcast_shapes(scale.shape, loc.shape)))
