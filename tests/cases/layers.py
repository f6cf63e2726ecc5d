"""One row for each public layer: a table for each family, and all of them together."""

from . import conditioning, dense, distance, features, fields, implicit, lifted, regression
from .case import Case as Case

FAMILIES = (
    conditioning,
    dense,
    distance,
    features,
    fields,
    implicit,
    lifted,
    regression,
)
LAYERS = {name: case for family in FAMILIES for name, case in family.LAYERS.items()}
MODULES = {name: case for family in FAMILIES for name, case in family.MODULES.items()}
