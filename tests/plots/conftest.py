"""Figures are drawn into memory, and closed."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def figures() -> Iterator[None]:
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield
    plt.close("all")
    matplotlib.use(before)
