"""What every test runs under: the CPU, no progress bars, warnings as errors, a cache.

The run-time checks of shapes, the strict warnings and the marker `slow` are set in
`pyproject.toml`.
"""

import os
from pathlib import Path

# Before jax, numpyro and tqdm are imported: they read these once.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TQDM_DISABLE", "1")
# Most of the time goes into compiling small programs, of which many are alike: processes
# and runs share them, in a folder that may be deleted at any time.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import gc
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from textwrap import dedent

import jax
import numpyro
import pytest

from tests.programs import programs_made

# Older versions of NumPyro look at the arguments of distributions only if they are told to.
numpyro.enable_validation()

LAYER = """
    class {name}(equinox.Module):
        def __call__(self, x):
            return x
"""


# How many tests a process runs before it lets go of its compiled programs: they would fill
# the memory.
TESTS_BETWEEN_CLEARINGS = 40
_count = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names of tests are the same in every process, or several could not share them."""
    placed = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if placed:
        raise pytest.UsageError(f"This test is named by a place in memory: {placed[0]}")


def pytest_collection_finish() -> None:
    """Search for cycles less often: each search goes through all that was traced."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Now and then, and after each file, free what JAX has compiled."""
    is_last = nextitem is None or nextitem.path != item.path
    if is_last or next(_count) % TESTS_BETWEEN_CLEARINGS == 0:
        jax.clear_caches()


@pytest.fixture
def strict_ranks() -> Iterator[None]:
    """Arrays of different rank do not broadcast.

    For tests of plain array code. It cannot hold everywhere: a bias of shape (out,) is
    added to rows of shape (n, out) in every layer, and NumPyro broadcasts scalars of
    priors against batches.
    """
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def as_users_run() -> Iterator[None]:
    """Without the run-time checks of annotations, which would raise before our own checks."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture
def in_memory() -> Iterator[None]:
    """Pictures are drawn in memory, and let go of."""
    plt = pytest.importorskip("matplotlib.pyplot")
    before = plt.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture
def compiled() -> Iterator[list[float]]:
    """See `programs_made`."""
    with programs_made() as found:
        yield found


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Callable[..., str]]:
    """A function that installs a package, as pip would, on a path that goes away again."""
    # Not at the top: the run-time checks are installed after this file is imported.
    from numpyro_bayeslayers import registry

    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def install(
        package,
        points,
        code=None,
        *,
        room="layers",
        version="1.0",
        requires=(),
        into="",
        prefix="",
    ):
        """`points` are names in the package's only module: layers, if `code` does not say."""
        folder = tmp_path / into
        if into:
            folder.mkdir(exist_ok=True)
            monkeypatch.syspath_prepend(folder)
        stem = re.sub(r"[-.]", "_", package).lower()
        module = prefix + stem
        info = folder / f"{stem}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join([*lines, ""]))
        listing = "\n".join(f"{name} = {module}:{name}" for name in points)
        (info / "entry_points.txt").write_text(f"[numpyro_bayeslayers.{room}]\n{listing}\n")
        if code is None:
            code = "import equinox\n" + "".join(
                dedent(LAYER).format(name=n) for n in points
            )
        (folder / f"{module}.py").write_text(code)
        return module

    registry.refresh()
    yield install
    monkeypatch.undo()
    registry.refresh()
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
