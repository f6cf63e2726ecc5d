"""From tables to arrays: time as an index, standardized columns, and what is learned once.

Pure functions of pandas tables. What the training table determines (the first time, means
and deviations, scales) is a value, `SpatiotemporalFit`, that encodes any later table alike.
To add a step: a function in a file of its own, one export line here, and a test.
"""

from ._spatiotemporal import (
    SpatiotemporalFit as SpatiotemporalFit,
    fit_spatiotemporal as fit_spatiotemporal,
)
from ._standardization import fit_standardization as fit_standardization
from ._time import encode_time_column as encode_time_column

__all__ = [
    "SpatiotemporalFit",
    "encode_time_column",
    "fit_spatiotemporal",
    "fit_standardization",
]
