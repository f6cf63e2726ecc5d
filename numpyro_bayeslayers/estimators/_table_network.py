r"""The network of a table estimator, as a NumPyro model of layers of this package.

$$h_0 = x, \qquad h_l = a\big(s\, (h_{l-1} W_l + b_l)\big), \qquad
\eta = s\, (h_L W + x V + c)$$

Weights have standard deviation $1 / \sqrt{fan\text{-}in}$, so that $s$, the scale of the prior,
is of order one for any width. If the noise scale is an output too, its weights have a small
prior scale: a priori, noise is nearly the same in all rows.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import lax
from jaxtyping import Array, Float
from numpyro.handlers import substitute

from .._typing import Model
from ..distributions import EnsembleMixture
from ..handlers._mixed_precision import in_precision
from ..layers import DenseReparameterization
from ._table_likelihood import COUNTS, LIKELIHOODS, Sites

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
}
# The prior scale of the weights of the noise, relative to those of the mean.
_NOISE = 0.1


class Network(NamedTuple):
    """The specification of the network of a table.

    Args:
        num_inputs: Number of inputs per row.
        hidden: Units of each hidden layer.
        activation: Name of the activation.
        likelihood: Name of the likelihood.
        num_outputs: Number of outputs, without the noise: one, or one per class.
        blocks: The start and length of the one-hot block of each categorical column, if they
            are embedded.
        embedding_size: Size of the embedding of a category.
        precision: Precision of products during a fit.
    """

    num_inputs: int
    hidden: tuple[int, ...]
    activation: str
    likelihood: str
    num_outputs: int = 1
    blocks: tuple[tuple[int, int], ...] = ()
    embedding_size: int = 4
    precision: str = "float32"

    @property
    def is_log(self) -> bool:
        """Whether the distribution is that of the logarithm of the outcome."""
        return LIKELIHOODS[self.likelihood].is_log

    @property
    def is_of_counts(self) -> bool:
        """Whether outcomes are counts."""
        return self.likelihood in COUNTS

    def outputs(
        self, x: Float[Array, "n d"], prior_scale: Any, offset: Any
    ) -> Float[Array, "n k"]:
        """The outputs of each row."""
        x = self._embedded(x)
        h, activate = x, ACTIVATIONS[self.activation]
        for i, width in enumerate(self.hidden):
            h = activate(prior_scale * _dense(h, width, f"hidden_{i}"))
        out = prior_scale * _dense(x, self.num_outputs, "skip")
        if self.hidden:
            out = out + prior_scale * _dense(h, self.num_outputs, "out", bias=False)
        out = out + offset
        if not LIKELIHOODS[self.likelihood].has_noise:
            return out
        level: Any = numpyro.sample("noise_level", dist.Normal(-1.0, 1.5))
        raw = _dense(x, 1, "noise_skip", bias=False)
        if self.hidden:
            raw = raw + _dense(h, 1, "noise_out", bias=False)
        return jnp.concatenate([out, level + _NOISE * raw], -1)

    def _embedded(self, x: Float[Array, "n d"]) -> Float[Array, "n k"]:
        if not self.blocks:
            return x
        parts = [x[:, : self.blocks[0][0]]]
        for i, (start, count) in enumerate(self.blocks):
            block = x[:, start : start + count]
            layer = DenseReparameterization(
                count,
                self.embedding_size,
                bias=False,
                prior_scale=1.0,
                name=f"category_{i}",
            )
            parts.append(layer(block))
        return jnp.concatenate(parts, -1)

    def sites(self) -> dict[str, Any]:
        """The parameters shared by all rows."""
        priors = LIKELIHOODS[self.likelihood].priors
        return {name: numpyro.sample(name, prior()) for name, prior in priors.items()}


def _dense(x: Array, size: int, name: str, *, bias: bool = True) -> Array:
    layer = DenseReparameterization(
        x.shape[-1], size, bias=bias, prior_scale="fan_in", name=name
    )
    return layer(x)


def model_of(network: Network) -> Model:
    """The NumPyro model, with frequency `weights` of the rows.

    The scale of the prior and the offset of the outputs are the same in all rows. They are
    passed as rows, since constants would be part of the compiled program.
    """

    def model(x: Any, weights: Any, prior_scale: Any, offset: Any, y: Any = None) -> None:
        run = in_precision(network.outputs, network.precision)
        outputs = run(x, prior_scale[0], offset[0])
        law = LIKELIHOODS[network.likelihood].law(outputs, network.sites(), 1.0)
        counts = weights > 0
        with numpyro.handlers.scale(scale=jnp.where(counts, weights, 1.0)):
            numpyro.sample("obs", law.mask(counts), obs=y)

    return model


class Draws(NamedTuple):
    """Draws of the parameters of a network, with everything that predictions need.

    Args:
        sites: Values by site name, with a leading axis of draws.
        prior_scale: The scale of the prior.
        offset: Known term added to the outputs.
        factor: The factor that widens the distribution of outcomes.
    """

    sites: dict[str, Any]
    prior_scale: Any
    offset: Any
    factor: Any


@eqx.filter_jit
def outputs_of(network: Network, draws: Draws, x: Float[Array, "n d"]) -> Any:
    """The outputs at each row for each draw, (draws, n, k)."""

    def one(sites: dict[str, Array]) -> Array:
        run = substitute(network.outputs, data=sites)
        return run(x, draws.prior_scale, draws.offset)

    return jax.vmap(one)(draws.sites)


def law_of(network: Network, draws: Draws, outputs: Any, factor: Any) -> Any:
    """The distribution of the outcome at each row for each draw."""
    likelihood = LIKELIHOODS[network.likelihood]
    shared: Sites = {name: draws.sites[name][:, None] for name in likelihood.priors}
    return likelihood.law(outputs, shared, factor)


@eqx.filter_jit
def log_density_of(network: Network, draws: Draws, outputs: Any, y: Any) -> Any:
    """The log density of each outcome under the mixture of draws."""
    return EnsembleMixture(law_of(network, draws, outputs, draws.factor)).log_prob(y)


@eqx.filter_jit
def quantiles_of(network: Network, draws: Draws, outputs: Any, levels: Any) -> Any:
    """The quantiles of the mixture of draws, (levels, n)."""
    mixture = EnsembleMixture(law_of(network, draws, outputs, draws.factor))
    return lax.map(mixture.icdf, levels)


@eqx.filter_jit
def moments_of(network: Network, draws: Draws, outputs: Any, units: Any) -> Any:
    """Means and standard deviations of the mixture of draws, of the outcome or its logarithm."""
    law = law_of(network, draws, outputs, draws.factor)
    if network.is_log:
        law = dist.LogNormal(units[0] + units[1] * law.loc, units[1] * law.scale)
    mixture = EnsembleMixture(law)
    return mixture.mean, jnp.sqrt(mixture.variance)


@eqx.filter_jit
def samples_of(network: Network, draws: Draws, outputs: Any, key: Any) -> Any:
    """One draw of the outcome at each row for each draw of the parameters."""
    return law_of(network, draws, outputs, draws.factor).sample(key)


@eqx.filter_jit
def scores_of_factors(
    network: Network, draws: Draws, outputs: Any, y: Any, weights: Any, factors: Any
) -> Any:
    """The mean log density of rows for each factor."""

    def one(factor: Any) -> Array:
        law = EnsembleMixture(law_of(network, draws, outputs, factor))
        return weights @ jnp.maximum(law.log_prob(y), -1e4) / weights.sum()

    return lax.map(one, factors)


@eqx.filter_jit
def probabilities_of(network: Network, draws: Draws, outputs: Any) -> Any:
    """The mean over draws of the probability of each class, (classes, n)."""
    law = law_of(network, draws, outputs, draws.factor)
    return jnp.moveaxis(law.probs.mean(0), -1, 0)
