"""Convert a fitted table estimator to the header and arrays of a file, and back."""

from pathlib import Path
from typing import Any

import numpy as np

from .._storage import origin, pack, unpack, write_file
from .._storage._file import Arrays
from ..infer.fitting._described import described_method, restored_method
from ..infer.fitting._known_methods import METHODS
from ._saved import file_kind, read_own
from ._table_network import Network
from ._table_rows import Columns

# Attributes set by `fit`, besides the columns and the network.
_FOUND = (
    "draws_",
    "prior_scale_",
    "offset_",
    "factor_",
    "losses_",
    "validation_score_",
    "units_",
    "seed_",
    "n_features_in_",
)
# Attributes set by some estimators.
_ALSO = ("feature_names_in_", "classes_")


def write_table_estimator(path: str | Path, estimator: Any) -> None:
    """See `AbstractTableEstimator.save`."""
    arrays: Arrays = {}
    settings = dict(estimator.get_params(deep=False))
    method = settings["method"]
    named = {kind: name for name, kind in METHODS.items()}
    kind = method if isinstance(method, type) else type(method)
    is_whole = kind in named and kind is not method
    settings["method"] = named.get(kind, method)
    found = {n: getattr(estimator, n) for n in _FOUND}
    also = {
        n: _packed_labels(getattr(estimator, n)) for n in _ALSO if hasattr(estimator, n)
    }
    header = {
        **origin(),
        "class": type(estimator).__name__,
        "settings": pack("settings", settings, arrays),
        "method": described_method(method, arrays) if is_whole else None,
        "columns": pack("columns", tuple(estimator.columns_), arrays),
        "network": pack("network", tuple(estimator.network_), arrays),
        "found": pack("found", found, arrays),
        "also": pack("also", also, arrays),
    }
    write_file(path, file_kind(header["class"]), header, arrays)


def _packed_labels(labels: np.ndarray) -> Any:
    if labels.dtype.kind == "O":
        return ["object", list(labels)]
    return ["array", labels]


def _unpacked_labels(packed: Any) -> np.ndarray:
    kind, labels = packed
    return np.array(labels, object) if kind == "object" else labels


def read_table_estimator(path: str | Path, kind: type) -> Any:
    """See `AbstractTableEstimator.load`."""
    header, arrays = read_own(path, kind)
    estimator = kind(**unpack(header["settings"], arrays))
    options = header.get("method")  # files of earlier versions contain only its name
    if options is not None:
        method = METHODS[estimator.method]
        estimator.method = restored_method(method, options, arrays)
    estimator.columns_ = Columns(*unpack(header["columns"], arrays))
    estimator.network_ = Network(*unpack(header["network"], arrays))
    for name, value in unpack(header["found"], arrays).items():
        setattr(estimator, name, value)
    for name, value in unpack(header["also"], arrays).items():
        setattr(estimator, name, _unpacked_labels(value))
    return estimator
