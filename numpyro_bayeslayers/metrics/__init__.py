"""Scores of predictions: pure functions of arrays, the smaller the better.

To add one: a function in the file of its kind, one export line here, and a test against an
independent computation.
"""

from ._interval import (
    interval_coverage as interval_coverage,
    interval_score as interval_score,
)
from ._point import (
    mean_absolute_error as mean_absolute_error,
    root_mean_squared_error as root_mean_squared_error,
)

__all__ = [
    "interval_coverage",
    "interval_score",
    "mean_absolute_error",
    "root_mean_squared_error",
]
