"""The shape of the package: sizes, names, and what an import brings with it."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import numpyro_bayeslayers

ROOT = Path(numpyro_bayeslayers.__file__).parent
ROOMS = sorted(m.name for m in pkgutil.iter_modules([str(ROOT)]) if m.ispkg)
PUBLIC = sorted(m.name for m in pkgutil.iter_modules([str(ROOT)]) if m.name[0] != "_")
FILES = sorted(
    path
    for folder in ("numpyro_bayeslayers", "tests", "benchmarks", "examples")
    for path in (ROOT.parent / folder).rglob("*.py")
)

# Not imported before a function that needs them is called.
OPTIONAL = (
    "pandas",
    "matplotlib",
    "sklearn",
    "blackjax",
    "orbax",
    "arviz",
    "narwhals",
    "formulae",
)
# But the estimators are scikit-learn's, by their base class: with it comes what it imports.
BRINGS = {"estimators": {"sklearn", "pandas", "narwhals"}}

IMPORT = """
import importlib, sys, warnings
warnings.simplefilter("ignore")
importlib.import_module({module!r})
found = [name for name in {optional!r} if name in sys.modules]
assert not found, f"imports {{found}}"
jax = sys.modules.get("jax")
arrays = jax.live_arrays() if jax else []
assert not arrays, f"creates {{len(arrays)}} arrays, the first of shape {{arrays[0].shape}}"
"""


def _run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["", *PUBLIC])
def test_import_is_light(module):
    name = f"numpyro_bayeslayers.{module}".rstrip(".")
    optional = [package for package in OPTIONAL if package not in BRINGS.get(module, ())]
    _run(IMPORT.format(module=name, optional=optional))


# What names alone need: three seconds less to wait for.
@pytest.mark.parametrize(
    "code",
    [
        "import numpyro_bayeslayers",
        "from numpyro_bayeslayers.registry import available; available('layers')",
        "from numpyro_bayeslayers._cli import main; main(['list'])",
    ],
)
def test_does_not_import_jax(code):
    _run(f"{code}\nimport sys\nassert not {{'jax', 'numpy'}} & set(sys.modules)")


def test_package_offers_each_public_module():
    listed = set(numpyro_bayeslayers.__all__) - {"__version__"}
    assert set(PUBLIC) <= listed, "add to `_ROOMS` in numpyro_bayeslayers/__init__.py"
    for name in PUBLIC:
        assert getattr(numpyro_bayeslayers, name).__name__ == f"numpyro_bayeslayers.{name}"


def test_files_are_short():
    """One idea in a file: split what is longer."""
    sizes = {
        str(p.relative_to(ROOT.parent)): len(p.read_text().splitlines()) for p in FILES
    }
    assert len(sizes) > 10
    assert not {path: lines for path, lines in sizes.items() if lines > 400}


@pytest.mark.parametrize("room", ROOMS)
def test_all_is_what_the_room_exports(room):
    """`__all__` is sorted, complete, and each import in the room's file is in it."""
    module = importlib.import_module(f"numpyro_bayeslayers.{room}")
    tree = ast.parse((ROOT / room / "__init__.py").read_text())
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert imported == set(module.__all__)
    assert len(module.__all__) == len(imported), "a name stands twice in `__all__`"
    assert all(hasattr(module, name) for name in module.__all__)
    assert module.__doc__


def test_files_inside_rooms_are_private():
    """A name is public by its room's `__init__.py`; drawers (folders) have plain names."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    public = [str(p.relative_to(ROOT)) for p in files if not p.name.startswith("_")]
    assert not public, f"begin these with an underscore: {public}"


def _body(node):
    """What a class or function does, without its name and docstring."""
    body = node.body
    if ast.get_docstring(node) is not None:
        body = body[1:]
    return ast.dump(ast.Module(body, [])) + ast.dump(
        ast.Module(getattr(node, "bases", []), [])
    )


@pytest.mark.parametrize("room", ROOMS)
def test_no_two_public_objects_are_one(room):
    """Two names with equal bodies promise a difference that is not there."""
    exports = set(importlib.import_module(f"numpyro_bayeslayers.{room}").__all__)
    seen = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in exports:
                seen.setdefault(_body(node), []).append(node.name)
    same = [names for names in seen.values() if len(names) > 1]
    assert not same, f"these have the same body: {same}"


def test_layers_of_imports():
    """Imports point down only: the contract in pyproject.toml."""
    pytest.importorskip("importlinter")
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
