"""Schemas learned from the first data set: names, types, categories, order of rows."""

from ._column import Level as Level
from ._gaps import find_gaps as find_gaps
from ._leaf import as_array as as_array, read_constant as read_constant
from ._levels import levels_of as levels_of
from ._schema import Encoded as Encoded, Schema as Schema, fit_schema as fit_schema
from ._source import row_counts as row_counts
