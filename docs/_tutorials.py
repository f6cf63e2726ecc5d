"""Pages that are programs: their styles in one file, and each as a notebook to download."""

import re
import shutil
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


class Tutorials:
    """What the pages share, gathered from page to page."""

    def __init__(self):
        self._styles = {}
        self._sources = {}

    def of_page(self, html, page):
        """The page without styles, with a link to them and one to the notebook."""
        self._styles |= dict.fromkeys(_STYLE.findall(html))
        source = Path(page.file.abs_src_path)
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
