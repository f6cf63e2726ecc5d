"""The mean-field guide of a member: point estimates or independent normals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints
from numpyro.handlers import seed, trace

from .._threads import ALONE
from .._typing import Model, PRNGKey

# Suffixes of the names of the guide's parameters.
LOC, SCALE = "_loc", "_scale"


def mean_field(
    model: Model, *args: Any, starts: dict[str, float], init_scale: float | None
) -> Model:
    """The mean-field guide of `model`.

    It equals NumPyro's `AutoDelta` or `AutoNormal`, which compile the model's gradient once
    more to search for finite initial values; here all initial values are finite.

    Args:
        model: A model whose latent sites are real.
        args: Its arguments, or some rows of them.
        starts: Initial values of points and means by site name. Without an entry, weight
            matrices start at draws of a standard normal truncated to two standard deviations,
            and everything else at zero, as in the package bayesnf.
        init_scale: The initial standard deviations; None for point estimates.
    """
    shapes = _latent_shapes(model, *args)

    def guide(*args: Any, **kwargs: Any) -> None:
        for name, shape in shapes.items():
            loc: Any = numpyro.param(name + LOC, _start(shape, starts.get(name, 0.0)))
            fn: dist.Distribution = dist.Delta(loc)
            if init_scale is not None:
                scale: Any = numpyro.param(
                    name + SCALE,
                    jnp.full(shape, init_scale),
                    constraint=constraints.softplus_positive,
                )
                fn = dist.Normal(loc, scale)
            numpyro.sample(name, fn.to_event(len(shape)))

    return guide


def _start(shape: tuple[int, ...], value: float) -> Any:
    def start(key: PRNGKey) -> Float[Array, "..."]:
        if len(shape) == 2:
            return jax.random.truncated_normal(key, -2.0, 2.0, shape)
        return jnp.full(shape, value)

    return start


def _latent_shapes(model: Model, *args: Any) -> dict[str, tuple[int, ...]]:
    with ALONE:
        shapes = {}

        def look() -> None:
            for name, site in trace(seed(model, 0)).get_trace(*args).items():
                if site["type"] == "sample" and not site["is_observed"]:
                    shapes[name] = site["fn"].shape()

        jax.eval_shape(look)  # nothing is computed
        return shapes
