"""Early stopping of each member, which keeps its best parameters."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from ... import _checks
from ._training_loop import Step


class EarlyStopping(NamedTuple):
    r"""Early stopping of each member of a fit.

    The losses $l_t$ of a member are smoothed, $a_t = d\,a_{t-1} + (1 - d)\,l_t$. It stops after
    `patience` steps in which $a_t$ was not below its smallest value by more than `min_delta`.
    It then takes no more steps; its parameters are those at the smallest value. A loss that is
    not finite is ignored: the smoothed loss is unchanged, and the step counts as one without
    improvement.

    With ``on="validation"``, the criterion is the unsmoothed score of held-out rows at each
    evaluation (see `Validation`): a member stops after `patience` steps without a higher score,
    and its parameters are those at its highest score.

    Args:
        patience: Steps without improvement, at least 1.
        min_delta: The smallest improvement that counts, in units of the loss (of the score:
            nats per row), zero or positive.
        decay: The weight $d$ of past losses, at least 0 and below 1: choose a higher value for
            the noisier losses of minibatches and of variational inference. Scores are not
            smoothed.
        on: ``"loss"`` or ``"validation"``.

    Raises:
        ValueError: From `run`, if a number is out of range, or if no rows are held out.

    Example:
        >>> EarlyStopping(patience=200)
        EarlyStopping(patience=200, min_delta=0.0, decay=0.9, on='loss')
    """

    patience: int = 500
    min_delta: float = 0.0
    decay: float = 0.9
    on: Literal["loss", "validation"] = "loss"

    def checked(self) -> "EarlyStopping":
        """The rule with Python numbers, after a check of their ranges."""
        return EarlyStopping(
            int(_checks.size("patience", self.patience)),
            float(_checks.non_negative("min_delta", self.min_delta)),
            float(_checks.rate("decay", self.decay)),
            _checks.one_of("on", self.on, ("loss", "validation")),
        )


class StoppingState(NamedTuple):
    """State of early stopping for each member."""

    average: Float[Array, " e"]
    best: Float[Array, " e"]
    best_params: PyTree[Shaped[Array, "e ..."]]
    waited: Int[Array, " e"]
    is_stopped: Bool[Array, " e"]


def start_stopping(params: PyTree, num_members: int) -> StoppingState:
    """The state before the first step, with `params` as the best so far."""
    return StoppingState(
        average=jnp.full(num_members, jnp.inf),
        best=jnp.full(num_members, jnp.inf),
        best_params=jax.tree.map(jnp.copy, params),
        waited=jnp.zeros(num_members, jnp.int32),
        is_stopped=jnp.zeros(num_members, bool),
    )


def with_early_stopping(
    step: Step, params_of: Callable[[PyTree], PyTree], rule: EarlyStopping
) -> Step:
    """A step of pairs (state, StoppingState) that does not change stopped members.

    Args:
        step: The step of all members.
        params_of: Gives the parameters in a state, arrays with a leading axis of members.
        rule: When a member stops.
    """

    def stopping_step(
        state: tuple[PyTree, StoppingState], batch: PyTree, shared: PyTree, scale: Any
    ) -> tuple[tuple[PyTree, StoppingState], Array]:
        before, memory = state
        after, losses = step(before, batch, shared, scale)
        is_known = jnp.isfinite(losses)
        past = jnp.where(jnp.isfinite(memory.average), memory.average, losses)
        average = rule.decay * past + (1.0 - rule.decay) * losses
        average = jnp.where(is_known, average, memory.average)
        # The loss belongs to the parameters before the step.
        is_better = (average < memory.best - rule.min_delta) & ~memory.is_stopped
        is_better &= is_known
        waited = jnp.where(is_better, 0, memory.waited + 1)
        memory = StoppingState(
            average=jnp.where(memory.is_stopped, memory.average, average),
            best=jnp.where(is_better, average, memory.best),
            best_params=select(is_better, params_of(before), memory.best_params),
            waited=waited,
            is_stopped=memory.is_stopped | (waited >= rule.patience),
        )
        return (select(memory.is_stopped, before, after), memory), losses

    return stopping_step


def with_members_stopped(step: Step) -> Step:
    """A step of pairs (state, memory) that does not change members stopped in the memory.

    Args:
        step: The step of all members.
    """

    def stopping_step(
        state: tuple[PyTree, Any], batch: PyTree, shared: PyTree, scale: Any
    ) -> tuple[tuple[PyTree, Any], Array]:
        before, memory = state
        after, losses = step(before, batch, shared, scale)
        return (select(memory.is_stopped, before, after), memory), losses

    return stopping_step


def select(which: Bool[Array, " e"], a: PyTree, b: PyTree) -> PyTree:
    """Select members of `a` where `which` is true, and of `b` elsewhere."""

    def one(x: Any, y: Any) -> Any:
        if not isinstance(x, jax.Array):
            return x  # what is not an array is the same for all
        return jnp.where(which.reshape(which.shape + (1,) * (x.ndim - 1)), x, y)

    return jax.tree.map(one, a, b)
