"""A prior predictive check before each fit: whether the prior covers the observations.

A prior in different units from the data (an intercept of N(0, 1) for an outcome near 5000)
gives a fit that looks sound but follows the prior. Here each observation is compared with draws
from the prior predictive distribution. It is beyond them if it is a third farther out than the
farthest draw, on a scale that is linear near their median and logarithmic far from it, so that
priors with light and heavy tails are treated alike.
"""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array
from numpyro.distributions import constraints
from numpyro.handlers import seed
from numpyro.primitives import Messenger

from ..._typing import Message
from ...distributions import _support
from ..compilation._effort import options
from ..compilation._host import on_host, some_rows
from ..rows._plates import on_all_rows
from ._method import Problem
from ._predictions import Reach
from ._programs import MOST, Kept, program_key

# The number of prior draws, and of rows that the model is run on.
DRAWS, MOST_ROWS = 64, 512
# How much farther out than the farthest draw counts as beyond, and the fraction that is
# reported.
BEYOND, SHARE = 1.35, 0.1
# Observations of this order are not checked: common priors are made for them.
ORDINARY, ORDINARY_COUNTS = 3.0, 20.0
_KEPT = Kept(MOST)

# Supports of observations with a scale: no labels and no proportions.
_UNBOUNDED = (
    constraints.real,
    constraints.positive,
    constraints.nonnegative,
    constraints.nonnegative_integer,
    constraints.positive_integer,
)


def warn_unreached(problem: Problem, *, stacklevel: int) -> None:
    """Warn if at least a tenth of the rows is beyond the prior.

    There is no warning for models with optimized parameters or improper priors, which may cover
    everything, for models that cannot draw, and for observations of order one, for which
    nothing is drawn.

    Args:
        problem: The problem to be fitted.
        stacklevel: The stack level of the warning, 1 for the caller.
    """
    if _is_ordinary(np.asarray(problem.data.rows["y"], float)):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = reach_of(problem)
    except Exception:
        return  # errors of the model are reported where it runs
    for reach in found.values():
        if reach.advice:
            warnings.warn(reach.advice, UserWarning, stacklevel=stacklevel + 1)


def reach_of(problem: Problem) -> dict[str, Reach]:
    """Whether the prior covers the observations, by observed site.

    There is no entry for labels and proportions, and none at all if the model has optimized
    parameters.

    Args:
        problem: The model and its data.
    """
    model = problem.bound(problem.model)
    key = program_key(problem.data, "reach", model)
    make = lambda: _PriorDraws(model, problem.data.num_rows)
    with _KEPT.take(key, make) as prior:
        sites = prior(problem.data.rows)
    return {name: site.reach(name) for name, site in sites.items()}


def _is_ordinary(y: np.ndarray) -> bool:
    is_counts = bool(np.all(y >= 0) and np.all(y == np.floor(y)))
    most = ORDINARY_COUNTS if is_counts else ORDINARY
    return bool(max(abs(np.nanmean(y)), np.nanstd(y)) <= most)


class _PriorDraws:
    """Prior predictive draws of a model, by NumPy or in one small program.

    Args:
        model: The model, as a function of rows.
        num_rows: The number of rows.
    """

    def __init__(self, model: Any, num_rows: int) -> None:
        self._is_whole: dict[str, bool] = {}
        self._is_real: dict[str, bool] = {}
        some = min(num_rows, MOST_ROWS)
        self._rows = np.linspace(0, num_rows - 1, some).round().astype(int)
        model = on_all_rows(model, some)

        def draw(key: Any, data: Any) -> dict[str, tuple[Array, Array, Array]]:
            drawing = _drawing(model)
            seed(drawing, key)(**data)
            for name, fn in drawing.laws.items():
                support = _support.support_of(fn)
                self._is_whole[name] = support.is_discrete
                self._is_real[name] = type(support) is type(constraints.real)
            return {} if drawing.is_open else drawing.found()

        def run(data: Any) -> dict[str, tuple[Array, Array, Array]]:
            keys = random.split(random.key(0), DRAWS)
            return jax.lax.map(lambda key: draw(key, data), keys)

        # All at once with NumPy; one after another in a program, which needs less memory.
        self._draw = jax.vmap(draw, (0, None))
        self._in_turn = run
        self._program: Any = None

    def __call__(self, rows: Any) -> dict[str, "_Site"]:
        return {
            name: _Site(self._is_real[name], self._is_whole[name], y[0], counts[0], drawn)
            for name, (y, counts, drawn) in self._found(rows).items()
        }

    def _found(self, rows: Any) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        data = jax.tree.map(lambda x: some_rows(x, self._rows), rows)

        def draw(data: Any) -> dict[str, tuple[Array, Array, Array]]:
            return self._draw(random.split(random.key(0), DRAWS), data)

        return on_host(draw, data, otherwise=self._compiled)

    def _compiled(self, data: Any) -> dict[str, tuple[Array, Array, Array]]:
        if self._program is None:
            self._program = jax.jit(self._in_turn, compiler_options=options(0))
        return self._program(data)


class _drawing(Messenger):  # noqa: N801
    """Draws the observed sites, and records their observations."""

    def __init__(self, fn: Any) -> None:
        self.is_open = False
        self.laws: dict[str, Any] = {}
        self._given: dict[str, tuple[Array, Any]] = {}
        self._drawn: dict[str, Array] = {}
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        self.is_open |= msg["type"] == "param"
        if msg["type"] != "sample" or not msg["is_observed"]:
            return
        kinds = {type(support) for support in _UNBOUNDED}
        if type(_support.support_of(msg["fn"])) in kinds:
            self.laws[msg["name"]] = msg["fn"]
            self._given[msg["name"]] = msg["value"], _support.mask_of(msg["fn"])
            msg["value"], msg["is_observed"] = None, False

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] == "sample" and msg["name"] in self.laws:
            self._drawn[msg["name"]] = msg["value"]
            msg["is_observed"] = True  # for later inspection

    def found(self) -> dict[str, tuple[Array, Array, Array]]:
        """The observations by site, which of them count, and the draws."""
        return {
            name: (
                jnp.ravel(y).astype(float),
                jnp.broadcast_to(mask, jnp.shape(y)).ravel(),
                jnp.ravel(self._drawn[name]).astype(float),
            )
            for name, (y, mask) in self._given.items()
            if jnp.shape(y) == jnp.shape(self._drawn[name])
        }


class _Site(NamedTuple):
    """One observed site.

    Args:
        is_real: Whether its values may have any sign.
        is_whole: Whether its values are counts.
        y: The observations.
        counts: Which of them count.
        drawn: Their prior draws, (draws, observations).
    """

    is_real: bool
    is_whole: bool
    y: np.ndarray
    counts: np.ndarray
    drawn: np.ndarray

    def share_beyond(self) -> float:
        """The fraction of entries beyond their draws."""
        y, drawn = self.y.astype(float), self.drawn.astype(float)
        middle = np.median(drawn, 0)
        off = np.abs(drawn - middle)
        unit = np.median(off, 0)
        unit = np.where(unit > 0, unit, off.mean(0))
        least = 1.0 if self.is_whole else 1e-6 * np.abs(middle) + np.finfo(np.float32).tiny
        unit = np.maximum(unit, least)
        far = np.arcsinh((drawn - middle) / unit)
        place = np.arcsinh((y - middle) / unit)
        is_beyond = (place > BEYOND * far.max(0)) | (place < BEYOND * far.min(0))
        return float(is_beyond[self.counts].mean()) if self.counts.any() else 0.0

    def reach(self, name: str) -> Reach:
        """The fraction beyond, and advice if it is large."""
        share = self.share_beyond()
        return Reach(share, self.said(name, share) if share >= SHARE else "")

    def said(self, name: str, share: float) -> str:
        """The problem, with figures, and advice."""
        y, drawn = (
            self.y[self.counts].astype(float),
            self.drawn[:, self.counts].astype(float),
        )
        low, high = np.quantile(drawn.mean(1), (0.05, 0.95))
        small, large = np.quantile(drawn.std(1), (0.05, 0.95))
        mean, std = y.mean(), y.std()
        if self.is_real:
            mend = (
                "Standardize the observations (subtract their mean, divide by their standard "
                "deviation), or give priors in their units: "
                f"InterceptLayer(dist.Normal({mean:.3g}, {std:.3g}))."
            )
        else:
            unit = "an `offset=`" if self.is_whole else "observations divided by their mean"
            mend = (
                "Give priors in their units, of a likelihood by the logarithm "
                f"InterceptLayer(dist.Normal({np.log(max(mean, 1e-30)):.3g}, 1.0)), or {unit}."
            )
        return (
            f"The prior puts next to no mass near the observations at {name!r}: "
            f"{100 * share:.0f}% of the rows lie beyond all that it draws there. Their mean "
            f"is {mean:.3g}, that of the prior's draws {low:.3g} to {high:.3g} (90%); their "
            f"standard deviation {std:.3g}, of the draws {small:.3g} to {large:.3g}. {mend}"
        )
