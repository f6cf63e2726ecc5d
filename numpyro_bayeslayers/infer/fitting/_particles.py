"""Where particles start."""

from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer.autoguide import AutoDelta

from ..training._init import check_landed, landed, values_of
from ._method import Problem


def started_at(state: Any, stein: Any, problem: Problem, guide: Any) -> Any:
    """The first state of particles, where the problem asks them to start.

    Args:
        state: Where they would start.
        stein: NumPyro's `SteinVI`, set up.
        problem: What is to be fitted.
        guide: The guide of one particle.

    Raises:
        TypeError: If `init` has no values by site.
        ValueError: If it is of other sites or shapes, or outside of a support.
    """
    init = problem.asked.init
    if init is None:
        return state
    own = stein.get_params(state)
    moved = {name: x for name, x in own.items() if name in stein.guide_sites}
    found = getattr(getattr(init, "result", None), "params", {})
    found = {name: x for name, x in found.items() if name in moved}
    if {n: x.shape for n, x in found.items()} == {n: x.shape for n, x in moved.items()}:
        given = found
    else:
        is_point = isinstance(guide, AutoDelta)
        sites = problem.sites.latent if is_point else ()
        names = {name: f"{name}_{guide.prefix}_loc" for name in sites}
        names = {site: name for site, name in names.items() if name in moved}
        shapes = {site: moved[name].shape[1:] for site, name in names.items()}
        others = moved.keys() - names.values()
        shapes |= {name: moved[name].shape[1:] for name in others}
        values = values_of(init, shapes, stein.num_stein_particles)
        given = {names.get(name, name): x for name, x in values.items()}
    unconstrained = stein.uconstrain_fn({**own, **given})
    here = stein.constrain_fn(unconstrained)
    check_landed({n: jax.vmap(landed)(here[n], jnp.asarray(x)) for n, x in given.items()})
    free = jax.tree.map(jnp.asarray, unconstrained)
    return state._replace(optim_state=stein.optim.init(free))
