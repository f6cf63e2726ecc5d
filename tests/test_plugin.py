"""The example plugin, built and installed into a folder of its own, from a user's side."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "examples" / "plugin"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Runs Python where the plugin is installed; returns the finished process."""
    out, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=PLUGIN, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)  # what an installer does with a pure wheel
    env = {**os.environ, "PYTHONPATH": str(site)}

    def run(*words, cwd=site):
        done = subprocess.run(
            [sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


USE = """
import sys
from numpyro_bayeslayers import registry

names = {
    "layers": "LaplaceLinear",
    "handlers": "quantize",
    "distributions": "HyperbolicSecant",
    "formula_terms": "laplace",
}
for room, name in names.items():
    assert name in registry.available(room), (room, registry.available(room))
assert "bayeslayers_example" not in sys.modules

layer, handler, distribution, _ = (registry.get(room, name) for room, name in names.items())
import jax.numpy as jnp
from numpyro.handlers import seed
print(seed(handler(layer(3, 2, name="out"), step=0.5), 0)(jnp.ones((5, 3))).shape)
print(distribution(0.0, 2.0).variance)
"""


def test_registry_finds_and_loads_it(python):
    assert python("-c", USE).split("\n")[:2] == ["(5, 2)", "4.0"]


def test_command_lists_it(python):
    listing = python("-m", "numpyro_bayeslayers", "list")
    rows = {tuple(line.split()) for line in listing.splitlines()}
    for room, name in [
        ("layers", "LaplaceLinear"),
        ("handlers", "quantize"),
        ("distributions", "HyperbolicSecant"),
        ("formula_terms", "laplace"),
    ]:
        assert (room, name, "bayeslayers-example", "0.1.0", "installed") in rows
    checked = python("-m", "numpyro_bayeslayers", "list", "layers", "--check")
    assert "LaplaceLinear" in checked
    assert "quantize" not in checked


def test_its_own_tests_and_examples_pass(python):
    python("-m", "pytest", "-q", "--doctest-modules", "-p", "no:cacheprovider", "-c", os.devnull,
           str(PLUGIN / "tests"), "--pyargs", "bayeslayers_example")  # fmt: skip
