"""Bayesian layers, gradient estimators and ensembles for NumPyro.

The subpackages `handlers`, `distributions` and `infer` are named like those of NumPyro.
Importing the package does not import them; they are imported on first use.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("numpyro-bayeslayers")
except PackageNotFoundError:  # run from a bare checkout
    __version__ = "0+unknown"

_ROOMS = (
    "basis",
    "distributions",
    "estimators",
    "formula_terms",
    "formulas",
    "handlers",
    "infer",
    "layers",
    "metrics",
    "plots",
    "preprocessing",
    "primitives",
    "registry",
    "testing",
)

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
