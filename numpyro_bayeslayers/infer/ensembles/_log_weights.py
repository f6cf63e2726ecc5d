"""Importance weights of draws from a guide."""

import functools
from typing import Any

import jax
import numpy as np
from jax import lax, random
from jaxtyping import Array, ArrayLike, Float
from numpyro.infer import Trace_ELBO, TraceEnum_ELBO
from numpyro.infer.elbo import ELBO

from ..._typing import PRNGKey
from ..compilation._effort import effort, options
from ..compilation._host import seldom
from ..compilation._recent import Recent
from ..rows._arguments import Arguments, put_together
from ..training._member import Drawn

#: The largest number of values computed by NumPy, and its number of draws at a time.
MOST, _AT_ONCE = 2**26, 50


def log_weights_of(
    drawn: Drawn,
    params: dict[str, Any],
    key: PRNGKey,
    parts: Arguments,
    num_samples: int,
    loss: ELBO,
    compiled: Recent[Any],
) -> Float[ArrayLike, "e s"]:
    """The log importance weights of draws from the members' guides: the ELBO of each draw.

    Args:
        drawn: The model and the guide, for all rows.
        params: Parameters, with a leading axis of members.
        key: The random key.
        parts: The data of the fit.
        num_samples: Number of draws per member.
        loss: The objective of the fit; discrete sites are marginalized if it does so.
        compiled: The cache of compiled programs.
    """
    frame = parts.frame
    members = jax.tree.leaves(params)[0].shape[0]
    size = min(_AT_ONCE, num_samples)
    level = effort(num_samples, parts.num_rows or 1, params)
    cache_key = (id(drawn), frame, "log_weights", num_samples, level)

    def make() -> Any:
        is_summed = isinstance(loss, TraceEnum_ELBO)
        single: Any = TraceEnum_ELBO() if is_summed else Trace_ELBO()

        def weights(
            params: Any,
            key: PRNGKey,
            rows: Any,
            shared: Any,
            start: Any = None,
            over: Any = jax.vmap,
        ) -> Any:
            args, kwargs = put_together(rows, shared, frame)

            def bound(params: Any, key: PRNGKey) -> Array:
                return -single.loss(key, params, drawn.model, drawn.guide, *args, **kwargs)

            keys = random.split(key, (num_samples, members))
            if start is not None:
                keys = lax.dynamic_slice_in_dim(keys, start, size)
            return over(lambda keys: jax.vmap(bound)(params, keys))(keys).T

        one_by_one = functools.partial(
            weights, over=lambda fn: functools.partial(lax.map, fn)
        )
        whole = jax.jit(one_by_one, compiler_options=options(level))
        return seldom(weights, whole, MOST * size // num_samples)

    program, given = compiled.get(cache_key, make), (params, key, parts.rows, parts.shared)
    if program.program(*given, np.int32(0)) is None:
        return program.compiled(*given)
    starts = [min(at, num_samples - size) for at in range(0, num_samples, size)]
    found = np.empty((members, num_samples), float)
    for at in starts:
        found[:, at : at + size] = program(*given, np.int32(at))
    return found
