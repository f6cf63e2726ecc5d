"""Models that read tables, and the arguments that they derive from them."""

import abc
from typing import Any

_WHOLE = (
    "`data` must be a table for this model, which reads it itself, and nothing beside it; got "
    "{names}."
)


class AbstractTableModel(abc.ABC):
    """A model that derives its arguments from a table."""

    #: The NumPyro model of these arguments.
    program: Any

    @abc.abstractmethod
    def rows(self, data: Any = None) -> dict[str, Any]:
        """The arguments from a table; from its own table, with the outcome `y`, if None."""

    @abc.abstractmethod
    def axes(self) -> dict[str, tuple[tuple[int, tuple[str, ...], str], ...]]:
        """The axes with named entries, by site: position from the last, names, title."""

    @abc.abstractmethod
    def outcome(self, data: Any) -> Any:
        """The outcome column of a table."""


def reader_of(model: Any) -> AbstractTableModel | None:
    """The model itself if it reads tables, else None."""
    return model if isinstance(model, AbstractTableModel) else None


def opened(model: Any, y: Any, data: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The NumPyro model of a table-reading model, the outcome, and the other arguments.

    Raises:
        ValueError: If anything besides a table is given.
    """
    if not isinstance(model, AbstractTableModel):
        return model, y, data
    rows = made_of_table(model, data) if data else model.rows()
    own = rows.pop("y", None)
    if y is None:
        y = own if own is not None else model.outcome(data["data"])
    return model.program, y, rows


def made_of_table(
    reader: AbstractTableModel | None, data: dict[str, Any]
) -> dict[str, Any]:
    """The arguments from a table, if the model reads tables."""
    if reader is None:
        return data
    if data.keys() != {"data"}:
        raise ValueError(
            _WHOLE.format(names=", ".join(f"`{n}`" for n in data) or "nothing")
        )
    return reader.rows(data["data"])
