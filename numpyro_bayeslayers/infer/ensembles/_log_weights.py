"""The weights that turn draws of a guide into draws of the posterior."""

from typing import Any

import jax
from jax import random
from jaxtyping import Array, Float
from numpyro.infer import Trace_ELBO, TraceEnum_ELBO
from numpyro.infer.elbo import ELBO

from ..._typing import PRNGKey
from ..training._arguments import Arguments, put_together
from ..training._effort import effort, options
from ..training._member import Drawn


def log_weights_of(
    drawn: Drawn,
    params: dict[str, Array],
    key: PRNGKey,
    parts: Arguments,
    num_samples: int,
    loss: ELBO,
    compiled: dict[Any, Any],
) -> Float[Array, "e s"]:
    """The log weights of draws of the members' guides: the evidence bound of each draw alone.

    Args:
        drawn: The model and the guide, of all rows.
        params: Parameters that lead with the members.
        key: The random key.
        parts: The data of the fit.
        num_samples: Draws of each member.
        loss: The objective of the fit; discrete sites are summed out if it does so.
        compiled: Where the program is kept.
    """
    frame = parts.frame
    members = jax.tree.leaves(params)[0].shape[0]
    level = effort(num_samples, parts.num_rows or 1, params)
    cache_key = (id(drawn), frame, "log_weights", num_samples, level)
    if cache_key not in compiled:
        is_summed = isinstance(loss, TraceEnum_ELBO)
        single: Any = TraceEnum_ELBO() if is_summed else Trace_ELBO()

        def weights(params: Any, key: PRNGKey, rows: Any, shared: Any) -> Any:
            args, kwargs = put_together(rows, shared, frame)

            def bound(params: Any, key: PRNGKey) -> Array:
                return -single.loss(key, params, drawn.model, drawn.guide, *args, **kwargs)

            keys = random.split(key, (num_samples, members))
            return jax.lax.map(lambda keys: jax.vmap(bound)(params, keys), keys).T

        compiled[cache_key] = jax.jit(weights, compiler_options=options(level))
    return compiled[cache_key](params, key, parts.rows, parts.shared)
