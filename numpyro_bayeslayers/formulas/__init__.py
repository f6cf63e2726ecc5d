"""Regressions by formulas, of layers of this library: ``y ~ 1 + x + s(z) + (1 + x | g)``.

The package formulae reads a formula and codes its columns; `formula` makes a NumPyro model of
them, `fit_formula` fits it in the same call. Terms that are layers are registered by name, see
`numpyro_bayeslayers.formula_terms`.
"""

from ..formula_terms._term import Term as Term
from ._fit import fit_formula as fit_formula
from ._model import FormulaModel as FormulaModel, formula as formula

__all__ = ["FormulaModel", "Term", "fit_formula", "formula"]
