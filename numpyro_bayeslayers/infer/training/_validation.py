r"""Scores of held-out rows during a run.

The score of a member is the mean over held-out rows of the log predictive density,

$$\frac{1}{n} \sum_i \log \frac{1}{S} \sum_s p(y_i \mid x_i, \theta_s),$$

over $S$ draws of its guide. All evaluations use the same random numbers, so that differences
reflect training and not the draws. An evaluation is a separate program, called between the
chunks of the loop; the loop does not change.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from ... import _checks
from ..._typing import PRNGKey
from ..compilation._effort import effort, options
from ..compilation._jit import Frame
from ._early_stopping import select

#: The number of draws from each member's guide per evaluation.
NUM_DRAWS = 20
SHARE = 0.1
# The largest and smallest number of evaluations in a run, whatever their cost.
MOST_LOOKS, LEAST_LOOKS = 200, 20
# The smallest number of evaluations within the patience of early stopping.
LOOKS_IN_PATIENCE = 5
# The cost of a step, with its gradient, relative to an evaluation.
_GRADIENT = 3.0


class Validation(NamedTuple):
    """Scores of held-out rows, as in `Fit.validation` and ``EnsembleResult.validation``.

    Args:
        steps: The numbers of steps after which the rows were scored, starting with 0.
        log_density: The mean over held-out rows of the log predictive density of each member,
            in nats per row, (members, evaluations).

    Example:
        >>> import numpy as np
        >>> seen = Validation(np.array([0, 10]), np.array([[-3.0, -1.5]]))
        >>> int(seen.steps[seen.log_density[0].argmax()])
        10
    """

    steps: Int[np.ndarray, " k"]
    log_density: Float[np.ndarray, "e k"]


class BestState(NamedTuple):
    """The memory of early stopping on held-out rows for each member."""

    best: Float[Array, " e"]
    best_step: Int[Array, " e"]
    best_params: PyTree[Shaped[Array, "e ..."]]
    is_stopped: Bool[Array, " e"]


def start_best(params: PyTree, num_members: int) -> BestState:
    """The memory before the first evaluation."""
    return BestState(
        best=jnp.full(num_members, -jnp.inf),
        best_step=jnp.zeros(num_members, jnp.int32),
        best_params=jax.tree.map(jnp.copy, params),
        is_stopped=jnp.zeros(num_members, bool),
    )


def _better(
    memory: BestState, scores: Array, params: PyTree, step: Any, patience: Any, delta: Any
) -> BestState:
    is_better = jnp.isfinite(scores) & (scores > memory.best + delta)
    is_better &= ~memory.is_stopped
    best_step = jnp.where(is_better, step, memory.best_step)
    return BestState(
        best=jnp.where(is_better, scores, memory.best),
        best_step=best_step,
        best_params=select(is_better, params, memory.best_params),
        is_stopped=memory.is_stopped | (step - best_step >= patience),
    )


class Scorer:
    """Scores held-out rows in one compiled program.

    Args:
        score: ``score(state, *arrays)`` returns the score of each member, (members,).
        params_of: Returns the parameters in a state, arrays with a leading axis of members.
    """

    def __init__(
        self, score: Callable[..., Array], params_of: Callable[[Any], PyTree]
    ) -> None:
        self._score = score
        self._params_of = params_of
        self._compiled: dict[Any, Any] = {}

    def __call__(
        self, state: Any, memory: BestState | None, arrays: Any, numbers: Any, level: Any
    ) -> tuple[BestState | None, Float[Array, " e"]]:
        """The memory after an evaluation, and the scores.

        Args:
            state: The state of all members, which is not modified.
            memory: The memory of early stopping; None without it.
            arrays: The arguments of `score`.
            numbers: The step, the patience and the smallest improvement.
            level: The compilation effort.
        """
        if level not in self._compiled:
            self._compiled[level] = jax.jit(
                self._look, static_argnums=0, compiler_options=options(level)
            )
        frame = Frame(state)
        return self._compiled[level](frame, frame.arrays(state), memory, arrays, numbers)

    def _look(
        self, frame: Frame, leaves: list[Any], memory: Any, arrays: Any, numbers: Any
    ) -> tuple[BestState | None, Array]:
        state = frame.fill(leaves)
        scores = self._score(state, *arrays)
        if memory is not None:
            memory = _better(memory, scores, self._params_of(state), *numbers)
        return memory, scores


class Held(NamedTuple):
    """Held-out rows with their scorer.

    Args:
        scorer: The scorer.
        arrays: The arguments of its score, including the rows.
        rows: Their number.
        draws: The number of draws of a member per evaluation.
        identity: Hashes that identify these rows, as text.
    """

    scorer: Scorer
    arrays: tuple[Any, ...]
    rows: int
    draws: int
    identity: dict[str, str]

    def period(self, num_steps: int, work: int, patience: int | None) -> int:
        """The number of steps between two evaluations.

        Args:
            num_steps: The number of steps of the run.
            work: The number of rows per step times the number of draws of the objective.
            patience: The patience of early stopping in steps; None without early stopping.
        """
        sparse = math.ceil(self.draws * self.rows / (SHARE * _GRADIENT * max(work, 1)))
        fewest = math.ceil(num_steps / LEAST_LOOKS)
        found = max(math.ceil(num_steps / MOST_LOOKS), min(sparse, fewest), 1)
        return (
            found if patience is None else min(found, max(patience // LOOKS_IN_PATIENCE, 1))
        )

    def level(self, looks: int, state: Any) -> Any:
        """The compilation effort of the program for this number of evaluations."""
        return effort(max(looks, 1) * self.draws, self.rows, state)


def share_of_rows(share: Any, num_rows: int, key: PRNGKey, may_be: Any = None) -> Any:
    """The indices of held-out rows: a random fraction of all rows.

    Args:
        share: The fraction, above 0 and below 1; at least one row is held out and one is left.
        num_rows: The number of rows.
        key: A random key.
        may_be: Whether each row may be held out; None if all may be.

    Raises:
        ValueError: If it is not a fraction, or no row is left.
    """
    share = _checks.share("validation", share)
    places = np.arange(num_rows) if may_be is None else np.flatnonzero(may_be)
    count = max(round(float(share) * num_rows), 1)
    if count >= num_rows or count > len(places):
        raise ValueError(
            f"`validation` must leave rows to fit: {share} of {num_rows} rows are {count}, but "
            f"at most {min(len(places), num_rows - 1)} can be held out."
        )
    is_typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = np.asarray(jax.random.key_data(key) if is_typed else key)
    # On the host, since on the device a program would be compiled for each number of rows.
    drawn = np.random.default_rng(words.ravel().tolist()).permutation(places)[:count]
    is_held = np.zeros(num_rows, bool)
    is_held[drawn] = True
    return is_held
