"""Posterior inclusion probabilities of coefficients."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import log_density

from ..._typing import Model
from ._spike_and_slab import SpikeAndSlabLayer

_NO_PROBABILITY = (
    "A layer with `inclusion`='gate' has no inclusion probabilities: its gates are numbers "
    "between 0 and 1 whose posterior mean mixes inclusion and effect size. Make the layer "
    "with inclusion='exact' (up to 12 coefficients) or 'mixture'."
)


def inclusion_probabilities(
    layer: SpikeAndSlabLayer,
    name: str,
    samples: Mapping[str, Any],
    model: Model | None = None,
    *args: Any,
    **kwargs: Any,
) -> Float[Array, "d u"]:
    r"""Posterior probabilities that coefficients are in the model.

    The mean over draws $s$ of $P(z_{iu} = 1 \mid \text{draw } s, y)$, each in closed form: for
    an exact layer by summing the model's joint density over all inclusions, for a mixture by
    the share of the slab in the density of the coefficient. No Monte Carlo noise from sampled
    inclusions is added.

    Args:
        layer: The layer, of inclusion ``"exact"`` or ``"mixture"``.
        name: The name that it was called with, including any enclosing scopes.
        samples: Posterior draws by site, as returned by ``MCMC.get_samples()``: the layer's
            ``beta`` and, for an exact layer, all latent sites except its inclusions.
        model: The model; required for an exact layer.
        args: Arguments of the model, including the data that it was conditioned on.
        kwargs: Keyword arguments of the model.

    Raises:
        ValueError: If the layer has gates, if draws are missing, or if `model` is missing for
            an exact layer.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> layer = SpikeAndSlabLayer(inclusion="exact")
        >>> def model(x, y):
        ...     f = layer("f", x)[..., 0]
        ...     with numpyro.plate("rows", len(x)):
        ...         numpyro.sample("y", dist.Normal(f, 1.0), obs=y)
        >>> draws = {"f.beta": jnp.array([[[2.0], [0.0]]])}
        >>> x, y = jnp.eye(2), jnp.array([2.0, 0.0])
        >>> found = inclusion_probabilities(layer, "f", draws, model, x, y)
        >>> [round(float(p), 3) for p in found[:, 0]]
        [0.881, 0.5]
    """
    if layer.inclusion == "gate":
        raise ValueError(_NO_PROBABILITY)
    site = f"{name}.beta"
    if site not in samples:
        raise ValueError(f"`samples` must have {site!r}, got {sorted(samples)}.")
    if layer.inclusion == "mixture":
        beta = jnp.asarray(samples[site])
        slab = layer.mixture.slab_probability(beta)
        return slab.reshape((-1,) + beta.shape[-2:]).mean(0)
    if model is None:
        raise ValueError(
            "`model` must be given, with its arguments, for a layer with "
            "`inclusion`='exact': the data decide between inclusions."
        )
    lead = np.ndim(samples[site]) - 2
    draws = {
        key: jnp.asarray(value).reshape((-1,) + np.shape(value)[lead:])
        for key, value in samples.items()
    }
    return _summed_out(name, draws, lambda: model(*args, **kwargs))


def _summed_out(name: str, draws: dict[str, Array], model: Model) -> Array:
    shape = draws[f"{name}.beta"].shape[1:]
    sites = [f"{name}.z_{i}_{u}" for i, u in np.ndindex(shape)]
    _check_latents(model, {key: value[0] for key, value in draws.items()}, sites)
    every_way = jnp.array(list(itertools.product((0, 1), repeat=len(sites))))

    def log_joint(way: Array, draw: dict[str, Array]) -> Array:
        values = draw | dict(zip(sites, way, strict=True))
        return log_density(model, (), {}, values)[0]

    def given(draw: dict[str, Array]) -> Array:
        log_joints = jax.vmap(log_joint, (0, None))(every_way, draw)
        return jax.nn.softmax(log_joints) @ every_way

    return jax.jit(lambda draws: jax.lax.map(given, draws).mean(0))(draws).reshape(shape)


def _check_latents(model: Model, draw: dict[str, Array], sites: list[str]) -> None:
    """Check that every latent site but the inclusions has draws, and that the inclusions exist."""
    found = trace(seed(substitute(model, draw), 0)).get_trace()
    latent = {
        key
        for key, site in found.items()
        if site["type"] == "sample" and not site["is_observed"]
    }
    missing = sorted(latent - set(draw) - set(sites))
    if missing:
        raise ValueError(f"`samples` must have all latent sites, but lacks {missing}.")
    if not set(sites) <= latent:
        raise ValueError(
            f"`model` has no layer with these inclusions: {sites[0]!r} is not among its sites, "
            f"{sorted(found)}."
        )
