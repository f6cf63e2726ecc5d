"""Distributions that the layers need and NumPyro does not have.

To add one: a file named after it, one export line here, one entry point in
`pyproject.toml`, and its tests in `tests/distributions`.
"""

from ._columns import IndependentColumns
from ._ensemble_mixture import EnsembleMixture

__all__ = ["EnsembleMixture", "IndependentColumns"]
