"""From fitted parameters to the members' predictive distributions at new rows."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float
from numpyro.handlers import substitute

from .._typing import PRNGKey
from ..distributions import EnsembleMixture
from ..infer import ensemble_predict
from ._guide import LOC, SCALE
from ._observation import ObservationModel, Sites, Units


class Posterior(NamedTuple):
    """The members' posteriors of the latent sites: point estimates or independent normals.

    Args:
        loc: Points or means by site, with a leading axis of members.
        scale: Standard deviations by site; empty for points.
        keys: A random key for each member and draw, (e, s); not used for points.
    """

    loc: Sites
    scale: Sites
    keys: Any

    @classmethod
    def of(cls, params: Sites, key: PRNGKey, num_draws: int) -> "Posterior":
        """The posterior from the parameters of the guide `mean_field`."""
        loc = {n.removesuffix(LOC): x for n, x in params.items() if n.endswith(LOC)}
        scale = {n.removesuffix(SCALE): x for n, x in params.items() if n.endswith(SCALE)}
        num_members = next(iter(loc.values())).shape[0]
        return cls(loc, scale, random.split(key, (num_members, num_draws)))

    def draw(self, key: PRNGKey) -> Sites:
        """One draw of all sites of one member."""
        keys = random.split(key, len(self.loc))
        return {
            name: loc + self.scale[name] * random.normal(k, loc.shape, loc.dtype)
            if name in self.scale
            else loc
            for k, (name, loc) in zip(keys, self.loc.items(), strict=True)
        }


def _field_values(
    member: tuple[Any, Posterior], x: Float[Array, "n d"]
) -> Float[Array, "n s"]:
    field, posterior = member

    def one(key: PRNGKey) -> Float[Array, " n"]:
        return substitute(field, data=posterior.draw(key))(x)

    return jnp.moveaxis(lax.map(one, posterior.keys), 0, -1)


@eqx.filter_jit
def components(
    field: Any,
    observation: ObservationModel,
    units: Units,
    posterior: Posterior,
    x: Float[Array, "n d"],
) -> Any:
    """The distribution at each row for each draw of each member, batch shape (e * s, n)."""
    f = ensemble_predict((field, posterior), _field_values, x)
    f = jnp.moveaxis(f, -1, 1).reshape(-1, len(x))
    draw = lambda member: jax.vmap(member.draw)(member.keys)
    sites = jax.vmap(draw)(posterior)
    own = {name: sites[name].reshape(-1, 1) for name in observation.priors}
    return observation.distribution(f, own, units)


@eqx.filter_jit
def summaries(
    distribution: Any, quantiles: Float[Array, " q"], approximate: bool
) -> tuple[Float[Array, " n"], Float[Array, "q n"]]:
    """The mean and the quantiles of the mixture of members.

    Args:
        distribution: From `components`.
        quantiles: Probabilities.
        approximate: Whether quantiles are those of a normal with the same mean and variance.
    """
    mixture = EnsembleMixture(distribution)
    if approximate:
        z = jax.scipy.special.ndtri(quantiles)[:, None]
        return mixture.mean, mixture.mean + z * jnp.sqrt(mixture.variance)
    return mixture.mean, lax.map(mixture.icdf, quantiles)
