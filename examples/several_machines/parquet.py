"""Minibatches from Parquet files that are larger than memory, for one process or several.

python examples/several_machines/parquet.py FOLDER     (writes a small data set there first)
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pyarrow as pa
import pyarrow.parquet as pq
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI


class Shards:
    """Row groups of Parquet files: what is read at once.

    Args:
        files: The files, in the same order in every process.
        columns: Names of the columns of the inputs, and last the one of the output.
    """

    def __init__(self, files: list[Path], columns: list[str]) -> None:
        self.columns = columns
        self.files = [pq.ParquetFile(file) for file in files]
        numbers = ((f, g) for f in self.files for g in range(f.num_row_groups))
        self.groups = list(numbers)
        self.num_rows = sum(file.metadata.num_rows for file in self.files)

    def read(self, number: int) -> np.ndarray:
        """The rows of a shard, (rows, columns)."""
        file, group = self.groups[number]
        table = file.read_row_group(group, columns=self.columns)
        columns = [table[name].to_numpy() for name in self.columns]
        return np.stack(columns, axis=1).astype(np.float32)

    def batches(
        self,
        size: int,
        passes: int,
        seed: int = 0,
        held: int = 4,
        process: tuple[int, int] | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches ``(x, y)`` of this process's share of each pass over the data.

        All processes shuffle the shards by the same seed and take turns, so that each shard is
        read by one of them. Rows are shuffled within `held` shards; what does not fill a
        batch is left out of a pass.

        Args:
            size: Rows in a batch of this process.
            passes: How often all data is read.
            seed: Decides the order.
            held: Shards in memory at a time.
            process: The number of this process, and how many there are; what JAX says if None.
        """
        me, count = process or (jax.process_index(), jax.process_count())
        for number in range(passes):
            order = np.random.default_rng([seed, number]).permutation(len(self.groups))
            own, rng = order[me::count], np.random.default_rng([seed, number, me])
            rest = np.empty((0, len(self.columns)), np.float32)
            for first in range(0, len(own), held):
                read = [self.read(i) for i in own[first : first + held]]
                rows = rng.permutation(np.concatenate([rest, *read]))
                whole = len(rows) - len(rows) % size
                for at in range(0, whole, size):
                    batch = rows[at : at + size]
                    yield batch[:, :-1], batch[:, -1]
                rest = rows[whole:]


def write(folder: Path, files: int = 4, rows: int = 4000) -> list[Path]:
    """A data set of a linear regression, in files with ten shards each."""
    paths = []
    for i in range(files):
        rng = np.random.default_rng(i)
        a, b = rng.normal(size=(2, rows))
        y = a - 2.0 * b + 0.3 * rng.normal(size=rows)
        paths.append(folder / f"part{i}.parquet")
        pq.write_table(
            pa.table({"a": a, "b": b, "y": y}), paths[-1], row_group_size=rows // 10
        )
    return paths


def model(x: Any, y: Any = None) -> None:
    """A linear regression."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ w, 0.3), obs=y)


def main(folder: Path) -> np.ndarray:
    """Two passes over a data set that is written first: the means of the coefficients."""
    shards = Shards(write(folder), ["a", "b", "y"])
    count = len(jax.devices())
    mesh = jax.make_mesh((count, 1), ("rows", "ensemble"))
    ensemble = EnsembleSVI(
        model, AutoNormal, optax.adam(0.05), num_members=4, mesh=mesh, data_axis="rows"
    )
    batches = shards.batches(size=100 // jax.process_count(), passes=2)
    result = ensemble.run_batches(0, batches, num_rows=shards.num_rows, progress_bar=False)
    return np.asarray(result.params["w_auto_loc"])


if __name__ == "__main__":
    print(main(Path(sys.argv[1])).round(2))
