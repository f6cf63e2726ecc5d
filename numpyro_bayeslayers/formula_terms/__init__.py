"""Terms of formulas that are layers, by the names that formulas have for them.

A term is a function of what is known when the formula is read: a `formulas.Term`, the numbers of
its columns, and the settings that stand in the formula. It gives the function of rows that the
model calls. To add one here: a file with its function, one export line and one entry point; a
package of your own registers its terms in the group ``numpyro_bayeslayers.formula_terms``.
"""

from ._monotone import mo as mo
from ._process import gp as gp
from ._smooth import s as s
from ._sparse import hs as hs
from ._surface import te as te

__all__ = ["gp", "hs", "mo", "s", "te"]
