"""Options of `fit` besides its data: starts, held-out rows, checkpoints, callbacks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._typing import PRNGKey
from ..rows._arguments import take_apart
from ..training._callbacks import Callback
from ..training._checkpoint import Checkpoint
from ..training._divided import HeldOut
from ..training._early_stopping import EarlyStopping
from ..training._trainer import checked_around
from ..training._validation import share_of_rows
from ._data import Data, data_to_predict
from ._missing import GAPS

_NO_STEPS = "`{name}` must be left out with MCMC, which has no steps of training. {mend}"
_MEND = {
    "early_stopping": "Take VI(), Ensemble() or Modes().",
    "validation": "Score rows that were not fitted by `found.log_density(y=..., ...)`.",
    "checkpoint": "Keep the fit by `found.save(path)`.",
    "callbacks": "Take VI(), Ensemble() or Modes().",
}
_NO_LOSS = (
    "`early_stopping` must be on the validation with Stein, got on='loss'. Its particles have no "
    "loss: they follow forces, which may be least where nothing has moved yet. Give "
    '`validation=0.1` and `EarlyStopping(patience, on="validation")`.'
)
_NO_Y = "`validation` must have 'y' too: the observations of the rows that are held out."
_NO_SITE = (
    "`validation` needs a site that is observed with `y` and drawn without: hand `y` to a site "
    "as `obs=y`."
)
_KIND = (
    "`validation` must be a fraction of the rows, above 0 and below 1, or a dictionary of data "
    "with `y`, got {given}."
)


class Asked(NamedTuple):
    """The options of a fit besides its data.

    Args:
        init: The start.
        early_stopping: The rule by which a member stops.
        validation: The held-out data: a fraction of the rows, or a dictionary of data.
        checkpoint: The file to which the run is saved.
        callbacks: Functions called during the run.
        held: The held-out rows, once they are known.
    """

    init: Any = None
    early_stopping: EarlyStopping | None = None
    validation: Any = None
    checkpoint: Checkpoint | None = None
    callbacks: tuple[Callback, ...] = ()
    held: HeldOut | None = None

    def check(self, method: str) -> "Asked":
        """The options, checked for a method.

        Raises:
            TypeError: If an option has the wrong type.
            ValueError: If the method does not support an option, a number is out of range, or
                early stopping needs held-out rows.
        """
        for name, mend in _MEND.items() if method == "MCMC" else ():
            value = getattr(self, name)
            if value is not None and value != ():
                raise ValueError(_NO_STEPS.format(name=name, mend=mend))
        is_held = self.validation is not None
        rule = checked_around(self.early_stopping, self.checkpoint, is_held=is_held)
        if method == "Stein" and rule is not None and rule.on == "loss":
            raise ValueError(_NO_LOSS)
        return self._replace(early_stopping=rule)

    def divide(self, data: Data, key: PRNGKey) -> tuple[Data, dict[str, Any] | None]:
        """The data of the fit, and the fraction of its rows that is held out.

        Raises:
            TypeError: If `validation` is neither a fraction nor a dictionary.
            ValueError: If it is not a fraction, or no row is left.
        """
        if self.validation is None or isinstance(self.validation, Mapping):
            return data, None
        if isinstance(self.validation, (str, bool)) or not np.isscalar(self.validation):
            kind = type(self.validation).__name__
            raise TypeError(_KIND.format(given=f"{self.validation!r} ({kind})"))
        rows = dict(data.rows)
        may_be = None
        if GAPS in rows:  # missing observations cannot be scored
            gaps = np.asarray(rows[GAPS])
            may_be = ~gaps.reshape(len(gaps), -1).any(1)
        is_held = share_of_rows(self.validation, data.num_rows, key, may_be)
        held = _at(rows, is_held)
        held.pop(GAPS, None)
        return data.at(_at(rows, ~is_held)), held

    def with_held(
        self, data: Data, held: dict[str, Any] | None, sites: tuple[str, ...]
    ) -> "Asked":
        """The options with the held-out rows, encoded like the data of the fit.

        Args:
            data: The data of the fit.
            held: The rows of a fraction; None if separate data is given.
            sites: The sites observed by `y`.

        Raises:
            TypeError: If a column has a different type from that in the fit.
            ValueError: If the data given cannot be read by the schema of the fit.
        """
        if self.validation is None:
            return self
        if not sites:
            raise ValueError(_NO_SITE)
        is_share = held is not None
        if held is None:
            given = dict(self.validation)
            if given.get("y") is None:
                raise ValueError(_NO_Y)
            y = given.pop("y")
            try:
                held = data_to_predict(data, given, y=y)
            except (TypeError, ValueError) as error:
                raise type(error)(f"In `validation`: {error}") from error
        parts = take_apart((), held)
        return self._replace(held=HeldOut(parts, sites, is_share=is_share))


def _at(rows: dict[str, Any], which: Any) -> dict[str, Any]:
    # On the host: on the device, each number of rows would need its own program.
    at = np.flatnonzero(which)
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[at]), rows)
