"""Figures are drawn into memory, and closed."""

import pytest


@pytest.fixture(autouse=True)
def figures(in_memory: None) -> None:
    """For every test of this folder."""
