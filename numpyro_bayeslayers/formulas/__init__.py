"""Regression formulas built from layers of this library: ``y ~ 1 + x + s(z) + (1 + x | g)``.

The package formulae parses a formula and codes its columns; `formula` turns them into a NumPyro
model, and `fit_formula` also fits it. Terms that are layers are registered by name; see
`numpyro_bayeslayers.formula_terms`.
"""

from ..formula_terms._term import Term as Term
from ._fit import fit_formula as fit_formula
from ._model import FormulaModel as FormulaModel, formula as formula

__all__ = ["FormulaModel", "Term", "fit_formula", "formula"]
