"""Autoguides as members of an ensemble: order of sites, and the Laplace approximation.

An autoguide that is set up inside a traced function receives dictionaries sorted by JAX: a
guide that packs all sites in one vector would order them by name, while a stock `SVI` uses the
order of the model. Here the order is that of the model.

`AutoLaplaceApproximation` is a point estimate during the fit and computes its posterior
afterwards from the Hessian of the loss. Here this is done once, at the end of a run, and the
posterior is a parameter of the result.
"""

import copy
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import biject_to
from numpyro.distributions.util import cholesky_of_inverse
from numpyro.infer.autoguide import (
    AutoDAIS,
    AutoGuide,
    AutoGuideList,
    AutoLaplaceApproximation,
    AutoSemiDAIS,
)
from numpyro.infer.util import transform_fn

from ..._typing import Model
from ._first_values import first_values

_DAIS = (
    "`guide` must draw using only its parameters, got {name}: its draws use the gradient of "
    "the log density of the training data, which a result does not contain, so new rows would "
    "change the posterior. Use AutoIAFNormal, AutoMultivariateNormal or `MCMC`, or "
    "`numpyro.infer.SVI` for a single such fit."
)
_LAPLACE_PART = (
    "`guide` must not have AutoLaplaceApproximation as a part of AutoGuideList: its posterior "
    "is computed from the whole model after the fit. Use AutoMultivariateNormal for that part."
)


def autoguide_class(guide: Any) -> type[AutoGuide] | None:
    """The class of autoguides that `guide` is or, as a partial, makes; None for others."""
    base = guide.func if isinstance(guide, functools.partial) else guide
    return base if inspect.isclass(base) and issubclass(base, AutoGuide) else None


def check_guide(guide: Any) -> None:
    """Check that the guide's draws depend only on its stored parameters.

    Raises:
        ValueError: If they do not.
    """
    if isinstance(guide, (AutoDAIS, AutoSemiDAIS)):
        raise ValueError(_DAIS.format(name=type(guide).__name__))
    if isinstance(guide, AutoGuideList):
        for part in guide:
            if isinstance(part, AutoLaplaceApproximation):
                raise ValueError(_LAPLACE_PART)
            check_guide(part)


class _InModelOrder(AutoGuide):
    """A mixin between an autoguide and its base class that keeps the model's order of sites."""

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        start = self.init_loc_fn
        self.init_loc_fn = first_values(start)
        try:
            super()._setup_prototype(*args, **kwargs)
        finally:
            self.init_loc_fn = start
        found, trace = self._init_locs, self.prototype_trace or {}
        first = [name for name in trace if name in found]
        self._init_locs = {name: found[name] for name in [*first, *found]}


@functools.cache
def _in_model_order(kind: type[AutoGuide]) -> type[AutoGuide]:
    if issubclass(kind, _InModelOrder):
        return kind
    return type(kind.__name__, (kind, _InModelOrder), {"__module__": kind.__module__})


def fresh(guide: Any) -> Any:
    """A copy of an autoguide as if it had never run; other guides are returned as they are.

    It is not a deep copy, since attributes from an earlier run may contain tracers.
    """
    if not isinstance(guide, AutoGuide):
        return guide
    twin = copy.copy(guide)
    twin.__class__ = _in_model_order(type(guide))
    for name, value in vars(guide).items():
        if isinstance(value, list):
            setattr(twin, name, [fresh(v) for v in value])
        elif isinstance(value, (dict, AutoGuide)):
            setattr(
                twin, name, fresh(value) if isinstance(value, AutoGuide) else dict(value)
            )
    twin.prototype_trace = None  # set up when it runs
    return twin


def let_go_of_tracers(guide: Any) -> None:
    """Remove tracers from an autoguide that was set up in a trace.

    It keeps only shapes, supports and names; supports must be concrete. Other numbers, such as
    initial values, become NaN until they are set, so that none is mistaken for a value of the
    model.
    """
    if not isinstance(guide, AutoGuide) or guide.prototype_trace is None:
        return
    for part in getattr(guide, "_guides", ()):
        let_go_of_tracers(part)
    laws = {name: guide.prototype_trace[name]["fn"] for name in guide._init_locs}
    bijections = {name: biject_to(law.support) for name, law in laws.items()}
    # NumPyro's function holds data of the trace.
    guide._postprocess_fn = functools.partial(transform_fn, bijections)
    guide._potential_fn = guide._potential_fn_gen = None
    for name, value in vars(guide).items():
        setattr(guide, name, _without_tracers(value))


def _without_tracers(value: Any) -> Any:
    if isinstance(value, dict):  # `jax.tree.map` would sort it
        return type(value)((key, _without_tracers(x)) for key, x in value.items())
    return jax.tree.map(_known, value)


def _known(leaf: Any) -> Any:
    """A leaf as it is; for a tracer, an array of its shape that uses no memory."""
    if not isinstance(leaf, jax.core.Tracer):
        return leaf
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return None
    is_real = jnp.issubdtype(leaf.dtype, jnp.inexact)
    return np.broadcast_to(np.array(np.nan if is_real else 0, leaf.dtype), leaf.shape)


def _posterior(guide: Any) -> dist.Distribution:
    """The posterior of `AutoLaplaceApproximation`, with its scale matrix as a parameter."""
    loc = numpyro.param(f"{guide.prefix}_loc", guide._init_latent)
    scale_tril = numpyro.param(*scale_of_zero(guide).popitem())
    # A singular Hessian gives a scale of zero, as in NumPyro.
    return dist.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)


@functools.cache
def _from_hessian(kind: type[AutoGuide]) -> type[AutoGuide]:
    return type(
        kind.__name__,
        (kind,),
        {"__module__": kind.__module__, "_get_posterior": _posterior},
    )


def needs_hessian(guide: Any) -> bool:
    """Whether a guide computes its posterior after the fit."""
    return isinstance(guide, AutoLaplaceApproximation)


def scale_name(guide: Any) -> str:
    """The name of the parameter computed after the fit."""
    return f"{guide.prefix}_scale_tril"


def scale_of_zero(guide: Any) -> dict[str, Array]:
    """The parameter that such a guide computes, initially zero; empty for other guides."""
    if not isinstance(guide, AutoLaplaceApproximation):
        return {}
    return {scale_name(guide): jnp.zeros((guide.latent_dim, guide.latent_dim))}


def fitted(guide: Model) -> Model:
    """The guide that draws from the posterior, to be used with its final parameters."""
    if not needs_hessian(guide):
        return guide
    twin = copy.copy(guide)
    twin.__class__ = _from_hessian(type(guide))
    return twin


def scale_from_hessian(
    guide: Any, loss: Any, params: dict[str, Array]
) -> Float[Array, "d d"]:
    r"""The Cholesky factor of the inverse Hessian of the loss; zero if it does not exist.

    Args:
        guide: The guide, set up.
        loss: The loss as a function of the parameters by site name.
        params: The parameters at its minimum.
    """
    name = f"{guide.prefix}_loc"
    precision = guide._hessian_fn(lambda z: loss({**params, name: z}), params[name])
    scale_tril = cholesky_of_inverse(precision)
    return jnp.where(jnp.isfinite(scale_tril).all(), scale_tril, 0.0)
