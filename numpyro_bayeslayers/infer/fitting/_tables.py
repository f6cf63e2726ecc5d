"""Models that read tables themselves: what is handed over for them, as arguments of rows."""

import abc
from typing import Any

_WHOLE = (
    "`data` must be a table for this model, which reads it itself, and nothing beside it; got "
    "{names}."
)


class AbstractTableModel(abc.ABC):
    """A model that makes its arguments of a table."""

    #: The NumPyro model of these arguments.
    program: Any

    @abc.abstractmethod
    def rows(self, data: Any = None) -> dict[str, Any]:
        """The arguments that are made of a table; of its own, with the outcome `y`, if None."""

    @abc.abstractmethod
    def axes(self) -> dict[str, tuple[tuple[int, tuple[str, ...], str], ...]]:
        """By site, axes whose entries have names: the place from the last, names, a title."""

    @abc.abstractmethod
    def outcome(self, data: Any) -> Any:
        """The outcome in a table."""


def reader_of(model: Any) -> AbstractTableModel | None:
    """The model, if it reads tables."""
    return model if isinstance(model, AbstractTableModel) else None


def opened(model: Any, y: Any, data: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The program of a model that reads tables, the outcome, and the other arguments.

    Raises:
        ValueError: If anything is given beside a table.
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
    """The arguments of rows that are made of a table, if there is a reader."""
    if reader is None:
        return data
    if data.keys() != {"data"}:
        raise ValueError(
            _WHOLE.format(names=", ".join(f"`{n}`" for n in data) or "nothing")
        )
    return reader.rows(data["data"])
