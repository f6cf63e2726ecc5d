"""From tables to arrays: categories, time as an index, standardized columns.

Pure functions of tables. What the first data determines is a value that encodes any later
data alike: a `Schema` (names, kinds, levels of categories), or a `SpatiotemporalFit` (the
first time, means and deviations, scales). To add a step: a function in a file of its own,
one export line here, and a test.
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
