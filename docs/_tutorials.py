"""Pages that are programs: run beside each other, and each as a notebook to download."""

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import jupytext
from mkdocs.utils import get_relative_url

_STYLES = "assets/tutorials.css"
_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
# Formulas are MathML already and there are no diagrams: nothing is fetched from elsewhere.
_FETCHED = re.compile(
    r'<script src="">\s*</script>|<script type="text/x-mathjax-config">.*?</script>'
    r'|<script type="module">(?:(?!</script>).)*?mermaid.*?</script>',
    re.DOTALL,
)
_SHARED = re.compile(r"^from (_\w+) import", re.MULTILINE)
_RUN = Path(__file__).with_name("_run_tutorial.py")
_PACKAGE = Path(__file__).parents[1] / "numpyro_bayeslayers"
_BELOW = ("jax", "numpyro")
_CACHE = Path(__file__).parents[1] / ".cache" / "tutorials"
# With small arrays, threads of XLA cost more than they bring: one page took 100 s of CPU time
# with one thread, and 141 s with two.
_ENVIRONMENT = {
    "NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found",
}
log = logging.getLogger("mkdocs.hooks.tutorials")


class Tutorials:
    """What the pages share, gathered from page to page."""

    def __init__(self):
        self._styles = {}
        self._sources = {}
        self._running = {}
        self.is_serving = False

    def start(self, sources):
        """Run the pages in two processes, the longest first.

        A page is not run if its result is in the cache, under a name that depends on the page, on
        what it imports from its folder, on the package, and on JAX and NumPyro. `mkdocs serve`,
        which builds again after each change, takes results of any state of these.
        """
        _CACHE.mkdir(parents=True, exist_ok=True)
        package = _digest(sorted(_PACKAGE.rglob("*.py")), *map(version, _BELOW))
        wanted = {
            source: _result(source, package, self.is_serving)
            for source in sources
        }
        for old in set(_CACHE.iterdir()) - set(wanted.values()):
            old.unlink()
        pool = ThreadPoolExecutor(max_workers=2)
        for source in sorted(sources, key=_expected_time):
            self._running[source] = pool.submit(_run, source, wanted[source])
        pool.shutdown(wait=False)

    def result(self, source):
        """The notebook of a page, with its outputs, as soon as it is there."""
        return self._running[source].result()

    def of_page(self, html, page):
        """The page without styles, with a link to them and one to the notebook."""
        self._styles |= dict.fromkeys(_STYLE.findall(html))
        source = source_of(page.file)
        self._sources[page.url] = source
        html = _FETCHED.sub("", _STYLE.sub("", html))
        files = [f"{source.stem}.ipynb", *_shared(source)]
        links = [f'<a href="{name}" download>{name}</a>' for name in files]
        styles = get_relative_url(_STYLES, page.url)
        return (
            f'<link rel="stylesheet" href="{styles}">\n{html}'
            f"<p>This page as a notebook: {', '.join(links)}</p>\n"
        )

    def write(self, site):
        """The file of styles, and the notebooks beside their pages."""
        if not self._sources:
            return
        (site / _STYLES).write_text("\n".join(self._styles))
        for url, source in self._sources.items():
            folder = site / url
            jupytext.write(
                jupytext.read(source), folder / f"{source.stem}.ipynb"
            )
            for name in _shared(source):
                shutil.copy(source.with_name(name), folder / name)


def _shared(source):
    return [f"{name}.py" for name in _SHARED.findall(source.read_text())]


def source_of(file):
    """The program of a page."""
    return Path(file.src_dir) / file.src_uri


def _expected_time(source):
    return not source.stem.startswith("master_class"), source.stem


def _digest(paths, *versions):
    found = hashlib.sha256(" ".join(versions).encode())
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()


def _result(source, package, is_any):
    shared = [source.with_name(name) for name in _shared(source)]
    name = f"{source.stem}-{_digest([source, *shared])[:16]}"
    result = _CACHE / f"{name}-{package[:16]}.ipynb"
    others = [] if result.exists() else _CACHE.glob(f"{name}-*.ipynb")
    return next(iter(others), result) if is_any else result


def _run(source, target):
    if not target.exists():
        start = time.perf_counter()
        part = target.with_suffix(".part")
        done = subprocess.run(
            [sys.executable, str(_RUN), str(source), str(part)],
            env=_environment(source.parent),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{source.name} fails:\n{done.stderr}")
        part.rename(target)
        seconds = time.perf_counter() - start
        cpu = done.stdout.split()[-1]
        log.info(f"Ran {source.name}: {seconds:.0f} s, {cpu} s of CPU time")
    return target


def _environment(folder):
    """With the folder of the pages, so that they find what they share."""
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(folder), known] if known else [str(folder)])
    return os.environ | _ENVIRONMENT | {"PYTHONPATH": path}
