"""From the right-hand sides of a formula to the layers of its model."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpyro.distributions as dist

from .. import _checks, registry
from ..formula_terms._term import Term
from ..layers import InterceptLayer, RandomEffectsLayer, RandomSlopesLayer
from ._columns import Coded, Group, Numbers
from ._family import Moments
from ._program import Common, CommonLayer, Predictor, Special, Varying
from ._right_side import RightSide
from ._text import Block

# The prior scale of coefficients, in standard deviations of the outcome.
_WIDTH = 2.5


class Layers(NamedTuple):
    """Builds the layers of one right-hand side.

    Args:
        side: The right-hand side.
        data: Its arrays for the first table.
        moments: Location and scale of the predictions.
        priors: Priors by term name.
        units: Number of predictions per row.
        num_rows: Number of rows of the first table.
    """

    side: RightSide
    data: Mapping[str, Any]
    moments: Moments
    priors: Mapping[str, Any]
    units: int
    num_rows: int

    def predictor(self, *, has_cuts: bool = False) -> Predictor:
        """The predictor: the sum of the layers.

        Args:
            has_cuts: Whether cut points take the place of an intercept.
        """
        side = self.side
        intercept = None
        if side.parsed.has_intercept and not has_cuts:
            prior = dist.Normal(self.moments.loc, _WIDTH * self.moments.scale)
            intercept = InterceptLayer(self._prior(side.named("Intercept"), prior))
        is_centered = intercept is not None or has_cuts
        return Predictor(
            intercept,
            tuple(self._common(coded, is_centered) for coded in side.common),
            tuple(self._varying(*block) for block in side.blocks),
            tuple(self._special(special) for special in side.special),
            self.units,
            side.named(""),
        )

    def _prior(self, name: str, default: Any) -> Any:
        return self.priors.get(name, default)

    def _common(self, coded: Coded, is_centered: bool) -> Common:
        name = self.side.named(coded.name)
        values = np.asarray(self.data[name])
        center = values.mean(0)
        if not is_centered:
            center = np.zeros_like(center)
        size = self.moments.scale if is_centered else self.moments.size
        default = dist.Normal(0.0, (_WIDTH * size / _spread(values))[:, None])
        prior = self._prior(name, default)
        if isinstance(prior, (dist.Distribution, type)):
            return Common(name, CommonLayer(prior), center)
        return Common(name, _checks.function(f"priors[{name!r}]", prior), None)

    def _varying(self, block: Block, columns: list[Coded], group: Group) -> Varying:
        name = self.side.name_of(block, columns)
        key, count = self.side.key_of(group), len(group.levels)
        is_level = len(columns) == 1 and columns[0].term is None
        spread = np.ones(1) if is_level else _spread(np.asarray(self.data[name]))
        scales = self.moments.scale / spread
        default = dist.HalfNormal(float(scales[0]) if is_level else scales[:, None])
        prior = self._prior(name, default)
        if not isinstance(prior, (dist.Distribution, type)):
            layer = _checks.function(f"priors[{name!r}]", prior)
        elif is_level and self.units == 1:
            kind: Any = RandomEffectsLayer
            layer = kind(prior)
        else:
            is_correlated = block.is_correlated and len(scales) > 1
            layer = RandomSlopesLayer(scale_dist=prior, correlated=is_correlated)
        return Varying(name, layer, None if is_level else name, key, count)

    def _special(self, special: Numbers) -> Special:
        name = self.side.named(special.name)
        make = registry.get("formula_terms", special.name.split("(")[0])
        numbers = self.data.get(name)
        term = Term(
            name,
            special.labels,
            special.levels,
            self.units,
            self.moments.scale,
            self.num_rows,
            self._prior(name, None),
            frozenset(special.ordered),
        )
        first = () if numbers is None else (np.asarray(numbers),)
        codes = {level: self.data[f"{name}[{level}]"].codes for level in special.levels}
        by = {key: codes.pop(level) for key, level in special.by.items()}
        try:
            forward = make(term, *first, *codes.values(), **by, **special.settings)
        except TypeError as error:
            raise TypeError(
                f"The term `{special.name}` cannot be built: {error}. Give its settings by "
                "name in the formula."
            ) from error
        levels = (f"{name}[{level}]" for level in special.levels)
        return Special(name, forward, (*([] if numbers is None else [name]), *levels))


def _spread(values: np.ndarray) -> np.ndarray:
    """The standard deviation of each column; the absolute value of a constant column."""
    spread = values.std(0)
    return np.where(spread > 0, spread, np.sqrt(np.mean(values**2, 0)))
