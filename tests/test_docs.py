"""The code in the pages runs: blocks marked `python`, one page in one namespace."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import pytest

from numpyro_bayeslayers import layers, registry

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# The pages that a newcomer opens first; the others have more fits, some for minutes.
FIRST = {"README.md", "CONTRIBUTING.md", "index.md", "choose.md"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# tests/test_master_class.py runs those of the master class, for their scores.
TUTORIALS = sorted(
    path
    for path in (ROOT / "docs" / "tutorials").glob("[!_]*.py")
    if not path.stem.startswith("master_class")
)
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def _blocks(text):
    """Source of each block with the line on which it starts; indented blocks too."""
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(2))
        yield line, re.sub(f"^{match[1]}", "", match[2], flags=re.MULTILINE)


def _has_code(page):
    return next(_blocks(page.read_text()), None) is not None


def _page(page):
    marks = () if page.name in FIRST or not _has_code(page) else pytest.mark.slow
    return pytest.param(page, marks=marks, id=str(page.relative_to(ROOT)))


@pytest.mark.parametrize("page", [_page(page) for page in PAGES])
def test_code_in_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what a page writes goes away
    namespace = {"__name__": "__main__"}
    for line, source in _blocks(page.read_text()):
        # Empty lines in front make the line numbers of a failure those of the page.
        exec(compile("\n" * line + source, str(page), "exec"), namespace)


@pytest.mark.slow
@pytest.mark.parametrize("program", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_runs(program, tmp_path):
    command = [sys.executable, "-W", "ignore", str(program)]
    environment = os.environ | {"MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_blocks_are_found():
    text = "a\n```python\nx = 1\n```\n```py\nshown\n```\n- item\n\n  ```python\n  y = 2\n  ```\n"
    assert list(_blocks(text)) == [(2, "x = 1\n"), (10, "y = 2\n")]


def test_failure_names_the_line_of_the_page():
    ((line, source),) = _blocks("one\n\n```python\nok = 1\nraise KeyError\n```\n")
    with pytest.raises(KeyError) as caught:
        exec(compile("\n" * line + source, "page.md", "exec"), {})
    assert caught.traceback[-1].lineno + 1 == 5


@pytest.mark.parametrize("page", PAGES[:2], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    """Relative links of the pages that mkdocs does not build."""
    for target in re.findall(r"\]\(([^)#]+)", page.read_text().replace("\n", " ")):
        if "://" not in target:
            assert (ROOT / target).exists(), f"{page.name} links to {target}"


def _references():
    """Each that a docstring names, with the file; those by words of a sentence are left out."""
    block = re.compile(r"^( *)References:\n((?:\1 +\S.*\n)+)", re.MULTILINE)
    for path in sorted((ROOT / PROJECT["project"]["name"].replace("-", "_")).rglob("*.py")):
        for match in block.finditer(path.read_text()):
            text = " ".join(match[2].split())
            for entry in re.split(r"(?<=[;.]) (?=[A-ZÀ-Ý][^;\"]*? \(\d{4}\), )", text):
                yield path.name, entry


def test_references_have_one_style():
    """Names (year), "title", venue; commas between three or more names, no "and"."""
    found = list(_references())
    assert len(found) > 200
    name = r"[\w'-]+(?: [\w'-]+)*?"
    names = rf"{name}(?: and {name}|(?:, {name}){{2,}}| et al\.)?"
    style = re.compile(rf'{names} \(\d{{4}}\), (?:"[^"]+"|section|equation)|See `|DLMF')
    wrong = [entry for entry in found if not style.match(entry[1])]
    assert not wrong


def _flags(text):
    """Flags of XLA, each with the version of JAX from which on it is unknown, or None."""
    for flag in re.finditer(r"--xla_\w+(=\w+)?", text):
        bound = re.match(r"`\s\(JAX\s<\s(\d+)\.(\d+)\)", text[flag.end() :])
        yield flag[0], bound and (int(bound[1]), int(bound[2]))


def _starts(flags):
    environment = os.environ | {"XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


def test_flags_are_found():
    text = 'export XLA_FLAGS="--xla_a=0 --xla_b"\n`--xla_c=false` (JAX <\n0.12), not `--xla_d=1`.'
    found = dict(_flags(text))
    unbound = dict.fromkeys(("--xla_a=0", "--xla_b", "--xla_d=1"))
    assert found == unbound | {"--xla_c=false": (0, 12)}


def test_flags_on_pages_are_known():
    """The installed XLA starts with each that it should, and with no other: it would die."""
    flags = dict(pair for page in PAGES for pair in _flags(page.read_text()))
    known = {
        flag
        for flag, bound in flags.items()
        if bound is None or jax.__version_info__ < bound
    }
    assert known
    assert _starts(known), f"this XLA knows not all of {known}: say (JAX < version) there"
    for flag in flags.keys() - known:
        assert not _starts([flag]), f"{flag} is known after all"


def test_each_layer_and_handler_has_a_line_where_one_chooses():
    """In docs/choose.md, which leads from a problem to a name."""
    ours = {
        provider.name
        for room in ("layers", "handlers")
        for provider in registry.providers(room)
        if provider.package == PROJECT["project"]["name"]
    }
    links = {name for name in layers.__all__ if name.endswith("_link")}
    page = (ROOT / "docs" / "choose.md").read_text()
    named = set(re.findall(r"`[\w.]*?(\w+)(?:\([^`]*\))?`", page))
    assert len(ours) > 50
    assert not (ours | links) - named, "add these to docs/choose.md"


def test_diagram_of_imports_is_the_contract():
    """The one in docs/design.md and that in pyproject.toml, which `make lint` holds."""
    page = (ROOT / "docs" / "design.md").read_text()
    (diagram,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    drawn = [re.split(r" {2,}", line.strip())[0] for line in diagram.splitlines()]
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    assert drawn == [re.sub(r"[()]", "", level) for level in contract["layers"]]


def test_changelog_has_the_version():
    heading = f"## [{PROJECT['project']['version']}]"
    assert heading in (ROOT / "CHANGELOG.md").read_text().splitlines()
