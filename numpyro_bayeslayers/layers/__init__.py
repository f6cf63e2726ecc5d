"""Layers: Equinox modules whose parameters are NumPyro sites.

Families are drawers (`layers/dense`, ...); the names are flat. To add a layer: its file in
its drawer, one export line there and here, one entry point in `pyproject.toml`, and one row
in `tests/cases/layers.py`. Laws, benchmarks and the API page follow from the export.
"""

__all__: list[str] = []
