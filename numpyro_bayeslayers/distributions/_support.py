"""Checks of observations that are outside the support of their likelihood.

For such a value, NumPyro returns a log density of minus infinity, or evaluates the formula of
the density where it is meaningless. Concrete data are checked before compilation.
"""

import functools
import operator
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints

from ._weighted import Weighted

# NumPyro's support includes the two ends, where the density is zero or infinite.
_OPEN = (dist.Beta, dist.Kumaraswamy, dist.RelaxedBernoulliLogits)
# NumPyro's support excludes zero, where the density is finite.
_FROM_ZERO = (
    dist.Exponential,
    dist.FoldedDistribution,
    dist.Gompertz,
    dist.HalfCauchy,
    dist.HalfNormal,
)
_WRAPPERS = (
    dist.ExpandedDistribution,
    dist.Independent,
    dist.MaskedDistribution,
    Weighted,
)
_SHOWN = 5


class Within(constraints.Constraint):
    """The observations of a likelihood that lie within bounds.

    Args:
        base: The support of the likelihood; None if all values are allowed.
        low: The lower bounds; None if there are none.
        high: The upper bounds.
        mend: Advice for other values, part of the error message.
    """

    def __init__(self, base: Any, low: Any, high: Any, mend: str) -> None:
        self.base, self.low, self.high, self.mend = base, low, high, mend

    def tree_flatten(self) -> Any:
        names = "base", "low", "high"
        return (self.base, self.low, self.high), (names, {"mend": self.mend})

    def __call__(self, x: Any) -> Any:
        inside = x == x if self.base is None else self.base(x)
        inside = inside if self.low is None else inside & (x >= self.low)
        return inside if self.high is None else inside & (x <= self.high)

    @property
    def is_discrete(self) -> bool:
        return bool(getattr(self.base, "is_discrete", False))

    @property
    def lower_bound(self) -> Any:
        own = getattr(self.base, "lower_bound", None)
        return own if self.low is None or np.isneginf(self.low).any() else self.low

    @property
    def upper_bound(self) -> Any:
        own = getattr(self.base, "upper_bound", None)
        return own if self.high is None or np.isposinf(self.high).any() else self.high

    def __repr__(self) -> str:
        return "numbers within the bounds of each row"


def nested(fn: dist.Distribution) -> Iterator[dist.Distribution]:
    """`fn` and the distributions that it masks, expands or wraps, down to the innermost one."""
    yield fn
    while isinstance(fn, _WRAPPERS):
        fn = fn.base_dist
        yield fn


def law_of(fn: dist.Distribution) -> dist.Distribution:
    """The innermost distribution."""
    return list(nested(fn))[-1]


def law_name(fn: dist.Distribution) -> str:
    """The usual name: Bernoulli, not BernoulliLogits."""
    law = law_of(fn)
    name = getattr(law, "usual_name", type(law).__name__)
    return name.removesuffix("Logits").removesuffix("Probs")


def support_of(fn: dist.Distribution) -> Any:
    """The possible values of an observation of `fn`: a constraint, or None for all values."""
    fn = law_of(fn)
    if (own := getattr(fn, "observations", None)) is not None:
        return own
    if isinstance(fn, _OPEN):
        return constraints.open_interval(0.0, 1.0)
    if isinstance(fn, _FROM_ZERO):
        return constraints.nonnegative
    # Older versions of NumPyro exclude the bound, where the density is finite.
    if isinstance(fn, dist.LeftTruncatedDistribution):
        return constraints.greater_than_eq(fn.low)
    if isinstance(fn, dist.RightTruncatedDistribution):
        return constraints.less_than_eq(fn.high)
    try:
        support = fn.support
    except NotImplementedError:
        return None
    while type(support) is constraints.independent:
        support = support.base_constraint
    passes = support is None or constraints.is_dependent(support)
    # Angles may exceed one turn.
    return None if passes or type(support) is type(constraints.circular) else support


def mask_of(fn: dist.Distribution) -> Any:
    """The mask of the rows in the likelihood; True for all."""
    masks = [f._mask for f in nested(fn) if isinstance(f, dist.MaskedDistribution)]
    return functools.reduce(operator.and_, masks, True)


def is_known(*arrays: Any) -> bool:
    """Whether none of the arrays is traced."""
    return not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(arrays))


def as_held(y: Any) -> np.ndarray:
    """`y` with the precision that JAX would give it."""
    y = np.asarray(y)
    return y.astype(jax.dtypes.canonicalize_dtype(y.dtype), copy=False)


def check_support(
    name: str, y: Any, support: Any, law: str, site: str, mask: Any = True
) -> None:
    """Check that all unmasked values of `y` are in the support; traced values are not checked.

    Args:
        name: What the user calls the observations.
        y: The observations, rows first.
        support: From `support_of`.
        law: From `law_name`.
        site: The name of the site.
        mask: Which observations are part of the likelihood.
    """
    if support is None or not is_known(y, support, mask):
        return
    y = as_held(y)
    with np.errstate(invalid="ignore"):
        inside = np.asarray(support(y))
    # A vector that is a single observation is in the support as a whole or not.
    bad = ~(inside | ~_lined_up(np.asarray(mask), inside.shape))
    if not bad.any():
        return
    places = np.argwhere(bad)
    where = [int(p[0]) if len(p) == 1 else tuple(map(int, p)) for p in places[:_SHOWN]]
    values = [y[tuple(p)].tolist() for p in places[:_SHOWN]]
    what = "row" if bad.ndim == 1 else "entry"
    what = what if len(places) == 1 else {"row": "rows", "entry": "entries"}[what]
    more = ", ..." if len(places) > _SHOWN else ""
    spot = "" if bad.ndim == 0 else f"in {what} {', '.join(map(str, where))}{more}: "
    raise ValueError(
        f"`{name}` must be in the support of {law}, the likelihood at {site!r}, "
        f"{_in_words(support)}, got {spot}{', '.join(map(_short, values))}{more} "
        f"({len(places)} of {max(bad.size, 1)}). {_mend(support, y)}"
    )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _lined_up(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        return np.ones(shape, bool)


def _ends(support: Any) -> tuple[Any, Any]:
    low, high = (getattr(support, f"{end}_bound", None) for end in ("lower", "upper"))
    low = low if low is None else np.min(low)
    return low, high if high is None else np.max(high)


def _in_words(support: Any) -> str:
    low, high = _ends(support)
    kind = type(support)
    if kind is type(constraints.boolean):
        return "0 or 1"
    if kind in (type(constraints.real), type(constraints.real_vector)):
        return "finite numbers"
    if kind is type(constraints.simplex):
        return "shares of at least 0 that sum to 1"
    whole = "whole numbers" if support.is_discrete else "numbers"
    if kind is type(constraints.open_interval(0.0, 1.0)):
        return f"{whole} strictly between {low:g} and {high:g}"
    if low is not None and high is not None:
        return f"{whole} from {low:g} to {high:g}"
    if low is not None and not support.is_discrete and not bool(support(np.asarray(low))):
        return f"{whole} above {low:g}"
    if low is not None:
        return f"{whole} of at least {low:g}"
    return f"{support}" if high is None else f"{whole} up to {high:g}"


def _mend(support: Any, y: np.ndarray) -> str:
    """Advice that depends on the given values."""
    if mend := getattr(support, "mend", None):
        return mend
    low, high = _ends(support)
    is_boolean = type(support) is type(constraints.boolean)
    low, high = (0, 1) if is_boolean else (low, high)
    given = np.unique(y[np.isfinite(y)]) if y.dtype.kind in "biuf" else np.zeros(0)
    if given.size == 0:
        return "Drop or mask those rows."
    least, most = float(given[0]), float(given[-1])
    is_whole = bool(np.all(given == np.floor(given)))
    if support.is_discrete and low is not None:
        if not is_whole:
            return (
                "Rates are not counts: give the counts, and the logarithm of the exposure as "
                "the link's `offset=`."
                if high is None
                else "Give the classes' numbers, not shares or probabilities."
            )
        if np.ndim(getattr(support, "upper_bound", 0)):
            return "An observation is at most its number of trials."
        if high is not None and (least, most) == (low + 1, high + 1):
            return "Labels are counted from 0: give y - 1."
        if is_boolean and set(given) <= {-1.0, 1.0}:
            return "Labels are 0 and 1: give (y + 1) / 2."
        if high is not None and most > high:
            return (
                "Labels are counted from 0: renumber them, or raise the number of classes."
            )
        return "Negative codes often mark missing values: drop those rows, or mask them."
    if low == 0 and high == 1:
        if least >= 0 and 1 < most <= 100:
            return "For percent give y / 100."
        if least >= 0 and most <= 1:
            return (
                "Shrink y away from the ends, (y * (n - 1) + 0.5) / n with n rows (Smithson and "
                "Verkuilen 2006), or use a likelihood that includes them."
            )
    if low == 0 and high is None:
        return (
            "Drop or mask those rows, or use a likelihood on all real numbers such as "
            "gaussian_link."
        )
    return "Drop, mask or correct those rows."
