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
from ._early_stopping import select
from ._effort import effort, options
from ._jit import Frame

#: Draws of each member's guide in a look, and the time that looks take beside steps.
NUM_DRAWS = 20
SHARE = 0.1
# There are at most so many looks in a run, and at least so many whatever they cost.
MOST_LOOKS, LEAST_LOOKS = 200, 20
# Of the steps that early stopping waits, looks come at least so often.
LOOKS_IN_PATIENCE = 5
# An evaluation of a step, with its gradient, beside one of a look.
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
    """What stopping on held-out rows remembers of each member."""

    best: Float[Array, " e"]
    best_step: Int[Array, " e"]
    best_params: PyTree[Shaped[Array, "e ..."]]
    is_stopped: Bool[Array, " e"]


def start_best(params: PyTree, num_members: int) -> BestState:
    """Before the first look."""
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
    """Looks at held-out rows, in one program.

    Args:
        score: ``score(state, *arrays)`` gives the score of each member, (members,).
        params_of: Gives the parameters in a state, arrays that lead with the members.
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
        """The memory after a look, and the scores.

        Args:
            state: The state of all members, which stays as it is.
            memory: What is remembered; None if nothing stops.
            arrays: What the score takes.
            numbers: The step, the patience, and the least improvement.
            level: How dearly it is compiled.
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
    """Rows that are held out, and what scores them.

    Args:
        scorer: The program.
        arrays: What its score takes: the rows among them.
        rows: Their number.
        draws: The draws of a member in a look.
        identity: What tells these rows from others, in words.
    """

    scorer: Scorer
    arrays: tuple[Any, ...]
    rows: int
    draws: int
    identity: dict[str, str]

    def period(self, num_steps: int, work: int, patience: int | None) -> int:
        """The steps between two looks.

        Args:
            num_steps: The steps of the run.
            work: The rows that a step sees, each as often as the objective draws.
            patience: Steps that early stopping waits for a better look; None if it does not.
        """
        sparse = math.ceil(self.draws * self.rows / (SHARE * _GRADIENT * max(work, 1)))
        fewest = math.ceil(num_steps / LEAST_LOOKS)
        found = max(math.ceil(num_steps / MOST_LOOKS), min(sparse, fewest), 1)
        return (
            found if patience is None else min(found, max(patience // LOOKS_IN_PATIENCE, 1))
        )

    def level(self, looks: int, state: Any) -> Any:
        """How dearly the program is compiled for so many looks."""
        return effort(max(looks, 1) * self.draws, self.rows, state)


def share_of_rows(share: Any, num_rows: int, key: PRNGKey, may_be: Any = None) -> Any:
    """Which rows are held out: a share of all of them, drawn by the key.

    Args:
        share: Above 0 and below 1; at least one row is held out, and one is left.
        num_rows: The number of rows.
        key: A random key.
        may_be: Whether each row may be held out; None if all may be.

    Raises:
        ValueError: If it is no share, or no row is left.
    """
    share = _checks.share("validation", share)
    places = np.arange(num_rows) if may_be is None else np.flatnonzero(may_be)
    count = max(round(float(share) * num_rows), 1)
    if count >= num_rows or count > len(places):
        raise ValueError(
            f"`validation` must leave rows to fit: {share} of {num_rows} rows are {count}, and "
            f"{min(len(places), num_rows - 1)} can be held out."
        )
    is_typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = np.asarray(jax.random.key_data(key) if is_typed else key)
    # On the host: a permutation on the device is a program for each number of rows.
    drawn = np.random.default_rng(words.ravel().tolist()).permutation(places)[:count]
    is_held = np.zeros(num_rows, bool)
    is_held[drawn] = True
    return is_held
