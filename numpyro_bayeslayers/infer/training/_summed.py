"""Whether a log likelihood is a sum over rows."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
from jaxtyping import PyTree
from numpyro.handlers import block

from ..._typing import Params
from ._arguments import Arguments
from ._jit import Frame, is_dynamic
from ._row_terms import row_terms
from ._spread import spread

_NO_SUM = (
    "In minibatches the log likelihood that `log_joint` returns counts N / `batch_size` times, "
    "so it must be the sum of the rows' log densities; {reason}. Sum over rows, without a mean "
    "or a scale of its own, or give no `batch_size`."
)
_PRIOR = (
    "In minibatches the log prior that `log_joint` returns must not depend on the rows, and "
    "does: {reason}. Give no `batch_size`, or compute what it takes from the data before."
)


def check_summed(
    log_joint: Callable[..., Any], params: Params, x: PyTree, y: PyTree, size: int
) -> None:
    """Refuse minibatches of `size` rows if `log_joint` is no sum over rows.

    Args:
        log_joint: ``log_joint(params, x, y) -> (loglik, logprior)``.
        params: Parameters of members, stacked; the first is looked at, moved a little away
            from zero.
        x: All rows of the inputs.
        y: All rows of the outputs.
        size: Rows in a minibatch.
    """

    def model(stacked: Params, x: PyTree, y: PyTree) -> None:
        first = jax.tree.map(lambda a: a[0] if eqx.is_array(a) else a, stacked)
        with block():  # what sites it has are its own
            loglik, logprior = log_joint(jax.tree.map(_moved, first), x, y)
        numpyro.factor("loglik", loglik)
        numpyro.factor("logprior", logprior)

    tree = ((params, x, y), {})
    of_params = len(jax.tree.leaves(params))
    arrays = [jnp.asarray(a) if is_dynamic(a) else None for a in jax.tree.leaves(tree)]
    rows = [None if i < of_params else a for i, a in enumerate(arrays)]
    shared = [a if i < of_params else None for i, a in enumerate(arrays)]
    terms = row_terms(model, Arguments(rows, shared, Frame(tree)), size)
    if terms is None:
        return
    if terms["loglik"].kind != "summed":
        reason = terms["loglik"].reason or "it is the same for all rows"
        raise ValueError(_NO_SUM.format(reason=reason))
    if terms["logprior"].kind != "constant":
        reason = terms["logprior"].reason or "it is a sum over them"
        raise ValueError(_PRIOR.format(reason=reason))


def _moved(leaf: Any) -> Any:
    """Away from zero, which would hide what it multiplies, and not across it."""
    if not eqx.is_inexact_array(leaf):
        return leaf
    unit = spread(leaf.shape, 1).astype(leaf.dtype)
    return leaf + 0.1 * unit * jnp.where(leaf == 0, 1, leaf)
