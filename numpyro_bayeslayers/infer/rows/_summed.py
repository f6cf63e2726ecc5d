"""Check that a log likelihood is a sum over rows."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpyro
from jaxtyping import PyTree
from numpyro.handlers import block

from ..._typing import Params
from ._arguments import beside_params
from ._row_terms import row_terms
from ._spread import moved

_NO_SUM = (
    "With minibatches, the log likelihood that `log_joint` returns is scaled by N / "
    "`batch_size`, so it must be a sum of log densities over rows; {reason}. Sum over rows, "
    "without a mean or other scaling, or leave out `batch_size`."
)
_HELD_OUT = (
    "`validation` scores rows by the log likelihood that `log_joint` returns, so it must be a "
    "sum of log densities over rows; {reason}. Sum over rows, without a mean or other scaling."
)
_PRIOR = (
    "With minibatches, the log prior that `log_joint` returns must not depend on the rows, but "
    "it does: {reason}. Leave out `batch_size`, or compute what it needs from the data "
    "beforehand."
)


def check_summed(
    log_joint: Callable[..., Any],
    params: Params,
    x: PyTree,
    y: PyTree,
    size: int,
    *,
    held_out: bool = False,
) -> None:
    """Raise if `log_joint` is not a sum over rows.

    Args:
        log_joint: ``log_joint(params, x, y) -> (loglik, logprior)``.
        params: Stacked parameters of members; those of the first are used, moved slightly away
            from zero.
        x: All rows of the inputs.
        y: All rows of the outputs.
        size: The number of rows of a minibatch.
        held_out: Whether the check is for scores of held-out rows instead of minibatches.
    """

    def model(stacked: Params, x: PyTree, y: PyTree) -> None:
        first = jax.tree.map(lambda a: a[0] if eqx.is_array(a) else a, stacked)
        with block():  # its own sites are hidden
            loglik, logprior = log_joint(jax.tree.map(moved, first), x, y)
        numpyro.factor("loglik", loglik)
        numpyro.factor("logprior", logprior)

    terms = row_terms(model, beside_params(params, x, y), size)
    if terms is None:
        return
    if terms["loglik"].kind != "summed":
        reason = terms["loglik"].reason or "it is the same for all rows"
        raise ValueError((_HELD_OUT if held_out else _NO_SUM).format(reason=reason))
    if terms["logprior"].kind != "constant" and not held_out:
        reason = terms["logprior"].reason or "it is a sum over them"
        raise ValueError(_PRIOR.format(reason=reason))
