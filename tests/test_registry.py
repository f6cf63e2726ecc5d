"""The registry, on packages whose metadata is written into a scratch directory."""

import importlib
import inspect
import sys
import time
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from numpyro_bayeslayers import registry
from numpyro_bayeslayers.registry import PluginError

HOME = "numpyro-bayeslayers"
UNPRINTABLE = """
class Mute(Exception):
    def __str__(self):
        raise RuntimeError


raise Mute
"""


def test_lists_without_importing(install):
    module = install("acme-layers", ["Ghost"], "raise RuntimeError('imported')")
    assert "Ghost" in registry.available("layers")
    assert [p.name for p in registry.providers("layers") if p.package == "acme-layers"] == [
        "Ghost"
    ]
    assert module not in sys.modules


def test_loads_on_demand(install):
    module = install("acme-layers", ["Wide"])
    found = registry.get("layers", "Wide")
    assert found is sys.modules[module].Wide
    assert registry.get("layers", "acme-layers:Wide") is found
    assert registry.get("layers", "Acme_Layers:Wide") is found


def test_typo_gets_close_matches(install):
    install("acme-layers", ["HorseshoeLinear"])
    with pytest.raises(
        ValueError, match=r"'HorsehoeLinear'.*Did you mean 'HorseshoeLinear'"
    ):
        registry.get("layers", "HorsehoeLinear")
    with pytest.raises(ValueError, match=r"Did you mean 'HorseshoeLinear'"):
        registry.get("layers", "horseshoelinear")
    with pytest.raises(ValueError, match=r"Did you mean 'acme-layers:HorseshoeLinear'"):
        registry.get("layers", "acme-layer:HorseshoeLinear")
    with pytest.raises(ValueError, match=r"'zzz'.*available\('layers'\)"):
        registry.get("layers", "zzz")


@pytest.mark.parametrize("function", [registry.available, registry.providers])
def test_unknown_room(function):
    with pytest.raises(ValueError, match=r"`room`.*Did you mean 'layers'"):
        function("layer")


def test_clash_names_both_packages(install):
    install("acme-layers", ["Wide"], version="1.2")
    install("zeta", ["Wide"], version="0.3")
    assert registry.available("layers").count("Wide") == 1
    with pytest.raises(
        ValueError, match=r"acme-layers 1\.2.*zeta 0\.3.*'acme-layers:Wide'"
    ):
        registry.get("layers", "Wide")
    assert registry.get("layers", "zeta:Wide").__module__ == "zeta"
    rows = [p for p in registry.providers("layers") if p.name == "Wide"]
    assert [p.status for p in rows] == ["clash", "clash"]
    assert "zeta 0.3" in rows[0].error


def test_own_names_cannot_be_taken_over(install):
    install(
        "numpyro-bayeslayers",
        ["Own"],
        version="9.9",
        prefix="our_",
    )
    install("acme-layers", ["Own"])
    with pytest.raises(ValueError, match=r"acme-layers 1\.0 and numpyro-bayeslayers 9\.9"):
        registry.get("layers", "Own")
    ours = registry.get("layers", "numpyro-bayeslayers:Own")
    assert ours.__module__ == "our_numpyro_bayeslayers"


def test_broken_plugin_breaks_only_itself(install):
    install(
        "acme-layers",
        ["Wide"],
        "import no_such_module",
        version="1.2",
        requires=["jax", "numpyro_bayeslayers<0.1; python_version>'3'"],
    )
    install("zeta", ["Narrow"])
    with pytest.raises(ImportError, match=r"acme_layers:Wide") as caught:
        registry.get("layers", "Wide")
    assert isinstance(caught.value, PluginError)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    for part in ("acme-layers 1.2", "numpyro_bayeslayers<0.1", "no_such_module"):
        assert part in str(caught.value)
    assert registry.get("layers", "Narrow").__name__ == "Narrow"
    rows = {p.name: p for p in registry.providers("layers", check=True)}
    assert rows["Wide"].status == "broken" and "no_such_module" in rows["Wide"].error
    assert rows["Narrow"].status == "ok"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "AttributeError"),
        ("Wide: = 3", "SyntaxError"),
        ("import pytest\npytest.skip('not here', allow_module_level=True)", "Skipped"),
        (UNPRINTABLE, "Mute, whose text cannot be printed"),
    ],
)
def test_whatever_the_import_raises_is_reported(install, code, cause):
    install("acme-layers", ["Wide"], code)
    with pytest.raises(PluginError, match=cause):
        registry.get("layers", "Wide")


def test_repaired_plugin_loads(install, tmp_path):
    module = install("acme-layers", ["Wide"], "1 / 0")
    with pytest.raises(PluginError):
        registry.get("layers", "Wide")
    (tmp_path / f"{module}.py").write_text(
        "from numpyro_bayeslayers._base import AbstractLayer as Wide\n"
    )
    registry.refresh()
    assert registry.get("layers", "Wide").__name__ == "AbstractLayer"


@pytest.mark.parametrize("line", [b"no equals sign\n", b"Wide = \xff\xfe\n"])
def test_a_list_that_cannot_be_read_hides_no_other(install, tmp_path, line):
    install("acme-layers", ["Wide"])
    install("zeta", ["Narrow"])
    path = tmp_path / "acme_layers-1.0.dist-info" / "entry_points.txt"
    path.write_bytes(path.read_bytes() + line)
    with pytest.warns(UserWarning, match="entry_points.txt of acme-layers cannot be read"):
        names = registry.available("layers")
    assert "Narrow" in names and "Wide" not in names
    assert registry.get("layers", "Narrow").__name__ == "Narrow"


def test_ctrl_c_while_a_plugin_is_imported_stops(install):
    install("acme-layers", ["Wide"], "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry.get("layers", "Wide")


def test_a_plugin_that_never_ends_is_left_alone_until_it_is_asked_for(install):
    install("acme-layers", ["Wide"], "while True:\n    pass\n")
    install("zeta", ["Narrow"])
    assert {"Wide", "Narrow"} <= set(registry.available("layers"))
    assert "Wide" in {row.name for row in registry.providers("layers")}
    assert registry.get("layers", "Narrow").__name__ == "Narrow"
    with pytest.raises(ValueError, match="Did you mean 'Wide'"):
        registry.get("layers", "Wida")


@pytest.mark.slow
def test_five_hundred_plugins_are_listed_and_one_is_imported(install):
    """In the time of reading their lists: 0.2 seconds of the processor here, bound at 3."""
    modules = [install(f"pack-{i}", [f"Layer{i}", "Same"]) for i in range(500)]
    start = time.process_time()
    names = registry.available("layers")
    rows = registry.providers("layers")
    assert registry.get("layers", "Layer77").__name__ == "Layer77"
    assert time.process_time() - start < 3
    assert {f"Layer{i}" for i in range(500)} < set(names)
    assert sum(row.status == "clash" for row in rows) == 500
    assert [m for m in modules if m in sys.modules] == [modules[77]]


def test_late_install_is_found_after_refresh(install):
    assert "Late" not in registry.available("layers")
    install("acme-layers", ["Late"])
    assert "Late" not in registry.available("layers")
    registry.refresh()
    assert "Late" in registry.available("layers")


def test_one_package_found_twice_is_one_provider(install):
    install("acme-layers", ["Wide"])
    install("Acme.Layers", ["Wide"], into="again")
    rows = [p for p in registry.providers("layers") if p.name == "Wide"]
    assert len(rows) == 1 and rows[0].status == "installed"


def test_package_without_metadata_is_still_listed(install, tmp_path):
    install("acme-layers", ["Wide"])
    (tmp_path / "acme_layers-1.0.dist-info" / "METADATA").unlink()
    assert "Wide" in registry.available("layers")
    assert registry.get("layers", "Wide").__name__ == "Wide"


@pytest.mark.parametrize(
    ("room", "code", "wanted"),
    [
        ("layers", "def Wide(x): return x", "class derived from equinox.Module"),
        ("layers", "class Wide: __call__ = len", "class derived from equinox.Module"),
        ("layers", "import equinox\nclass Wide(equinox.Module): pass", "__call__"),
        ("handlers", "Wide = 3", "callable"),
        ("distributions", "class Wide: pass", "numpyro.distributions.Distribution"),
    ],
)
def test_wrong_kind(install, room, code, wanted):
    install("acme-layers", ["Wide"], code, room=room)
    with pytest.raises(PluginError, match=wanted) as caught:
        registry.get(room, "Wide")
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    ("room", "code"),
    [
        ("handlers", "from numpyro.handlers import mask as Wide"),
        ("handlers", "def Wide(model): return model"),
        ("distributions", "from numpyro.distributions import Normal as Wide"),
    ],
)
def test_right_kind(install, room, code):
    install("acme-layers", ["Wide"], code, room=room)
    assert callable(registry.get(room, "Wide"))


def test_bare_checkout_says_to_install(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    registry.refresh()
    with pytest.raises(RuntimeError, match="pip install"):
        registry.available("layers")
    monkeypatch.undo()
    registry.refresh()


@pytest.mark.parametrize("room", registry.ROOMS)
def test_entry_points_agree_with_exports(room):
    """The tables of pyproject.toml, what is installed, and `__all__` are one list.

    Base classes are not registered, nor the functions among the layers (links, helpers).
    """
    group = f"numpyro_bayeslayers.{room}"
    exports = importlib.import_module(group)
    public = [
        name
        for name in exports.__all__
        if not name.startswith("Abstract")
        and (room != "layers" or inspect.isclass(getattr(exports, name)))
    ]
    expected = {name: f"{group}:{name}" for name in public}
    text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text()
    written = tomllib.loads(text)["project"]["entry-points"][group]
    header = f'[project.entry-points."{group}"]'
    missing = [f'{n} = "{v}"' for n, v in expected.items() if written.get(n) != v]
    assert not missing, f"In pyproject.toml, below {header}, add:\n" + "\n".join(
        sorted(missing)
    )
    extra = sorted(set(written) - set(expected))
    assert not extra, f"In pyproject.toml, below {header}, remove {extra}: not exported."
    assert list(written) == sorted(written), (
        f"In pyproject.toml, sort the lines below {header}."
    )
    installed = {p.name: p.value for p in entry_points(group=group) if p.dist.name == HOME}
    again = "The metadata is stale: run `pip install -e . --no-deps` again."
    assert installed == written, again


@pytest.mark.parametrize("room", registry.ROOMS)
def test_own_objects_load(room):
    for provider in registry.providers(room, check=True):
        if provider.package == HOME:
            assert provider.status == "ok", provider.error
            assert inspect.getdoc(registry.get(room, provider.name))
