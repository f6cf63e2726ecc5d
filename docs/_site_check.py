"""What must be true of the built site, beyond what MkDocs checks.

Every link and image leads to something on the site, no page is heavy, code fits, and nothing is
shown escaped.
"""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

HEAVIEST = 300_000  # bytes of a page, pictures not counted
HEAVY = ("gallery/index.html",)
WIDEST = 80  # columns of code
# What an escape leaves in code of a table or in a formula.
_BACKSLASH = re.compile(r"<(?:code|mtext)>[^<]*\\[|_][^<]*")
_CODE = re.compile(
    r"^```(?:py|python|sh)\b[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE
)


def faults_of(site, sources):
    """A sentence for each fault."""
    pages = {
        path: _Page(path.read_text()) for path in sorted(site.rglob("*.html"))
    }
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        if path.stat().st_size - page.embedded > HEAVIEST and name not in HEAVY:
            yield f"{name} has {path.stat().st_size / 1000:.0f} kB: divide it"
        if (
            name == "404.html"
        ):  # its links start at the root of wherever the site is
            continue
        for shown in _BACKSLASH.findall(page.text):
            yield f"{name} shows a backslash: {shown}"
        for target in sorted(page.targets):
            if _is_missing(target, path, pages):
                yield f"{name} leads to {target}, which is not there"
    for path in sorted(sources.glob("*.md")):
        for block in _CODE.findall(path.read_text()):
            for line in block.splitlines():
                if len(line) > WIDEST:
                    yield f"{path.name} has code of {len(line)} columns: {line.strip()}"


def _is_missing(target, path, pages):
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return False
    found = (
        (path.parent / unquote(parts.path)).resolve() if parts.path else path
    )
    if found.is_dir():
        found /= "index.html"
    if not found.exists():
        return True
    is_anchor = parts.fragment and found in pages
    return is_anchor and unquote(parts.fragment) not in pages[found].anchors


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.text = text
        self.targets, self.anchors, self.embedded = set(), {"__top"}, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.anchors |= {named[key] for key in ("id", "name") if named.get(key)}
        for key in ("href", "src"):
            target = named.get(key) or ""
            if target.startswith("data:"):
                self.embedded += len(target)
            elif target and not target.startswith("javascript:"):
                self.targets.add(target)
