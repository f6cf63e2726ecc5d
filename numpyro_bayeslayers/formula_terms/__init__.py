"""Formula terms that are layers, registered under the names used in formulas.

A term is a function of a `formulas.Term` (what is known when the formula is parsed), the values
of its columns, and the settings written in the formula. It returns the function of rows that
the model calls. To add one here, add a file with its function, one export line and one entry
point; a package of your own registers its terms in the group
``numpyro_bayeslayers.formula_terms``.
"""

from ._monotone import mo as mo
from ._process import gp as gp
from ._smooth import s as s
from ._sparse import hs as hs
from ._surface import te as te

__all__ = ["gp", "hs", "mo", "s", "te"]
