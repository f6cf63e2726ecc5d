"""From tables to arrays: categories, time as an index, standardized columns.

These are pure functions of tables. What is learned from the first data set is a value that
encodes all later data in the same way: a `Schema` (names, types, categories), or a
`SpatiotemporalFit` (first time, means, standard deviations, scales). To add a step, add a
function in its own file, an export line here, and a test.
"""

from ._spatiotemporal import (
    SpatiotemporalFit as SpatiotemporalFit,
    fit_spatiotemporal as fit_spatiotemporal,
)
from ._standardization import fit_standardization as fit_standardization
from ._time import encode_time_column as encode_time_column
from .schema import (
    Encoded as Encoded,
    Schema as Schema,
    fit_schema as fit_schema,
    levels_of as levels_of,
)

__all__ = [
    "Encoded",
    "Schema",
    "SpatiotemporalFit",
    "encode_time_column",
    "fit_schema",
    "fit_spatiotemporal",
    "fit_standardization",
    "levels_of",
]
