"""The example that streams Parquet files: every row once in each pass, whoever reads it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[1] / "examples" / "several_machines" / "parquet.py"


@pytest.fixture(scope="module")
def parquet():
    pytest.importorskip("pyarrow")
    spec = importlib.util.spec_from_file_location("parquet", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(batches):
    return np.concatenate([np.column_stack([x, y]) for x, y in batches])


@pytest.mark.parametrize("count", [1, 2])
def test_each_row_is_read_once(parquet, tmp_path, count):
    """Of batches that divide the shards, all rows; in another order in the next pass."""
    shards = parquet.Shards(parquet.write(tmp_path, files=2, rows=400), ["a", "b", "y"])
    assert shards.num_rows == 800
    passes = [
        np.concatenate(
            [
                rows_of(list(shards.batches(40, 2, process=(me, count)))[half])
                for me in range(count)
            ]
        )
        for half in (slice(None, 20 // count), slice(20 // count, None))
    ]
    every = np.concatenate([shards.read(i) for i in range(20)])
    for found in passes:
        assert found.shape == (800, 3)
        np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(every, axis=0))
    assert (passes[0] != passes[1]).any()


@pytest.mark.slow
def test_fit(parquet, tmp_path):
    assert np.abs(parquet.main(tmp_path) - [1.0, -2.0]).max() < 0.05
