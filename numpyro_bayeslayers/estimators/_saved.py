"""Convert a fitted estimator to the header and arrays of a file, and back."""

from pathlib import Path
from typing import Any

import numpy as np

from .._storage import Kind, check_origin, origin, pack, read_file, unpack, write_file
from .._storage._file import Arrays
from ..layers import BayesianNeuralField
from ..preprocessing import SpatiotemporalFit
from ._observation import Units

# Attributes set by `fit`, besides the table, the units and the field.
_FOUND = (
    "params_",
    "losses_",
    "prediction_key_",
    "sample_size_posterior_",
    "n_features_in_",
)


def field_of(table: SpatiotemporalFit, width: int, depth: int) -> BayesianNeuralField:
    """The network of an estimator."""
    return BayesianNeuralField(
        **table.field_arguments, width=width, depth=depth, name="field"
    )


def write_estimator(path: str | Path, estimator: Any) -> None:
    """See `AbstractFieldEstimator.save`."""
    arrays: Arrays = {}
    settings = {n: _listed(v) for n, v in estimator.get_params().items()}
    header = {
        **origin(),
        "class": type(estimator).__name__,
        "settings": {n: pack(f"settings/{n}", v, arrays) for n, v in settings.items()},
        "table": pack("table", estimator.table_._asdict(), arrays),
        "units": pack("units", estimator.units_._asdict(), arrays),
        "field": {n: getattr(estimator.field_, n) for n in ("width", "depth")},
        "found": {n: pack(n, getattr(estimator, n), arrays) for n in _FOUND},
    }
    write_file(path, file_kind(header["class"]), header, arrays)


def _listed(value: Any) -> Any:
    """A pandas Index, such as column names, as a list."""
    is_array = isinstance(value, (np.ndarray, np.generic))
    return value if is_array or not hasattr(value, "tolist") else value.tolist()


def file_kind(name: str) -> Kind:
    """The kind of file of the estimator `name`."""
    return Kind("an estimator", f"{name}.load(path)")


def read_own(path: str | Path, kind: type) -> tuple[dict[str, Any], Arrays]:
    """Read the header and arrays of a file saved by an estimator of class `kind`.

    Raises:
        ValueError: If the file is damaged, or of another class.
    """
    header, arrays = read_file(path, file_kind(kind.__name__))
    if header["class"] != kind.__name__:
        raise ValueError(
            f"The file {str(path)!r} contains a {header['class']}. Load it with "
            f"`{header['class']}.load(path)`."
        )
    check_origin(path, header, stacklevel=5)  # where `load` is called
    return header, arrays


def read_estimator(path: str | Path, kind: type) -> Any:
    """See `AbstractFieldEstimator.load`."""
    header, arrays = read_own(path, kind)
    found = {n: unpack(v, arrays) for n, v in header["found"].items()}
    settings = {n: unpack(v, arrays) for n, v in header["settings"].items()}
    estimator = kind(**settings)
    estimator.table_ = SpatiotemporalFit(**unpack(header["table"], arrays))
    estimator.units_ = Units(**unpack(header["units"], arrays))
    estimator.field_ = field_of(estimator.table_, **header["field"])
    for name, value in found.items():
        setattr(estimator, name, value)
    return estimator
