"""Pure functions of arrays that layers are built from: no sites, no state.

To add one: a file named after the idea, one export line here, and a test against an
independent oracle in `tests/basis`.
"""

from ._moments import relu_moments as relu_moments

__all__ = ["relu_moments"]
