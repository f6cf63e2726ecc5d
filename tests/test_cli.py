"""The command `numpyro-bayeslayers`."""

import sys
from types import ModuleType

import pytest

import numpyro_bayeslayers
from numpyro_bayeslayers import _cli


def test_list_imports_nothing(install, capsys):
    module = install(
        "acme-layers", ["Wide"], "raise RuntimeError('imported')", version="1.2"
    )
    assert _cli.main(["list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["room", "name", "package", "version", "status"]
    assert ["layers", "Wide", "acme-layers", "1.2", "installed"] in lines
    assert module not in sys.modules


def test_list_of_one_room(install, capsys):
    install("acme-layers", ["Wide"])
    assert _cli.main(["list", "handlers"]) == 0
    assert "acme-layers" not in capsys.readouterr().out


def test_check_says_what_is_broken_and_why(install, capsys):
    install("acme-layers", ["Wide"], "import no_such_module")
    install("zeta", ["Narrow"])
    assert _cli.main(["list", "layers", "--check"]) == 1
    table, _, faults = capsys.readouterr().out.partition("\n\n")
    status = {line.split()[1]: line.split()[-1] for line in table.splitlines()}
    assert status["Wide"] == "broken"
    assert status["Narrow"] == "ok"
    assert "acme_layers:Wide" in faults
    assert "no_such_module" in faults


def test_clash_is_told_once(install, capsys):
    install("acme-layers", ["Wide"])
    install("zeta", ["Wide"])
    assert _cli.main(["list"]) == 0
    assert capsys.readouterr().out.count("clash: ") == 1
    assert _cli.main(["list", "--check"]) == 1


def test_columns_line_up(install, capsys):
    install("acme-layers", ["AnUncommonlyLongNameForALayer"])
    _cli.main(["list", "layers"])
    table = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    column = table[0].index("package")
    assert all(line[column - 1] == " " and line[column] != " " for line in table)


def test_bare_checkout_says_to_install(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [])
    _cli.registry.refresh()
    assert _cli.main(["list"]) == 1
    assert "pip install" in capsys.readouterr().err
    monkeypatch.undo()
    _cli.registry.refresh()


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        _cli.main(["--version"])
    assert capsys.readouterr().out.split()[-1] == numpyro_bayeslayers.__version__


@pytest.mark.parametrize("words", [["list", "layer"], ["no-such-command"], []])
def test_wrong_words_are_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        _cli.main(words)
    assert "usage:" in capsys.readouterr().err


def test_demo_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(_cli, "find_spec", lambda name: None)
    assert _cli.main(["demo"]) == 1
    message = capsys.readouterr().err
    assert "scikit-learn and matplotlib" in message
    assert "pip install 'numpyro-bayeslayers[demo]'" in message


@pytest.fixture
def demo(monkeypatch):
    """A demonstration that only notes what it was called with."""
    module = ModuleType("numpyro_bayeslayers._demo")
    module.calls = []
    module.main = lambda *args, **kwargs: module.calls.append((args, kwargs))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(numpyro_bayeslayers, "_demo", module, raising=False)
    monkeypatch.setattr(_cli, "find_spec", lambda name: module)
    return module


def test_demo_passes_its_words_on(demo):
    assert _cli.main(["demo", "--quick", "--out", "picture.png"]) == 0
    assert _cli.main(["demo"]) == 0
    (first, second) = demo.calls
    assert first == (("picture.png",), {"quick": True})
    assert second == (("bayeslayers-demo.png",), {"quick": False})


def test_demo_refuses_a_folder_that_is_not_there(demo, capsys):
    def main(out, *, quick):
        raise FileNotFoundError(f"no folder for {out}")

    demo.main = main
    assert _cli.main(["demo", "--out", "nowhere/picture.png"]) == 1
    assert "no folder for nowhere/picture.png" in capsys.readouterr().err
