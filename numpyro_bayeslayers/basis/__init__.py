"""Pure functions of arrays that layers are built from: no sites, no state.

To add one: a file named after the idea, one export line here, and a test against an
independent oracle in `tests/basis`.
"""

__all__: list[str] = []
