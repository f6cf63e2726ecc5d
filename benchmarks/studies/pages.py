"""The code that pages show, for studies that draw their pictures by it."""

import re

from tables import DOCS

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\n\n!\[[^]]*\]\((?P<picture>[^)]*)\))?",
    re.MULTILINE | re.DOTALL,
)


def blocks(page):
    """The blocks of a page that run: compiled code, and the picture right below it or None."""
    for match in _BLOCK.finditer((DOCS / f"{page}.md").read_text()):
        yield compile(match["code"], f"{page}.md", "exec"), match["picture"]
