"""Names in the prose and the code of guides as links to their descriptions."""

import re

from _api import places
from mkdocs.utils import get_relative_url

# Headings, links and blocks of code stay as they are.
_KEPT = re.compile(
    r"(<(?P<tag>a|pre|h[1-6]|script|style)\b.*?</(?P=tag)>)", re.DOTALL
)
_CODE = re.compile(
    r"<code>(?:numpyro_bayeslayers\.)?(?:(?P<room>[a-z_]+)\.)?(?P<name>\w+)(?:\([^<]*\))?</code>"
)
# A name in a block of code, as Pygments marks it.
_HIGHLIGHTED = re.compile(r'<span class="n[cf]?">(?P<name>\w+)</span>')
_TAG = re.compile(r"<[^>]*>")
_IMPORT = re.compile(
    r"from\s+numpyro_bayeslayers[\w.]*\s+import\s+(\([^)]*\)|[^\n]*)"
)
# Words that NumPyro and Python use too: ours only where plugins are written.
_COMMON = "primitives", "registry"
_WRITERS = "plugins.md", "design.md"


class Links:
    """Links the first mention on each page, in prose or code.

    And knows which names no guide mentions.
    """

    def __init__(self):
        self._unlinked = None

    def of_page(self, html, page):
        """The page with links; pages of API have their own."""
        source = page.file.src_uri
        if source.startswith("api/"):
            return html
        if self._unlinked is None:
            self._unlinked = set(places())
        seen = set()

        def link(match):
            name, room = match["name"], match.groupdict().get("room")
            place = places().get(name)
            if place is None or name in seen:
                return match[0]
            home = place.split("/")[1]
            if home in _COMMON and source not in _WRITERS and room != home:
                return match[0]
            if room is not None and f".{room}." not in place:
                return match[0]
            seen.add(name)
            return (
                f'<a href="{get_relative_url(place, page.url)}">{match[0]}</a>'
            )

        parts = _KEPT.split(html)
        for i in range(0, len(parts), 3):  # then what is kept, then its tag
            parts[i] = _CODE.sub(link, parts[i])
            if parts[i + 2 : i + 3] == ["pre"]:
                parts[i + 1] = _with_links(parts[i + 1], link)
        del parts[2::3]
        if source != "changelog.md":
            self._unlinked -= seen
            self._unlinked -= {
                name for name, place in places().items() if place in html
            }
        return "".join(parts)

    def faults(self):
        """One sentence, if a public name stands on no guide."""
        if self._unlinked:
            yield f"no guide mentions {', '.join(sorted(self._unlinked))}"


def _with_links(code, link):
    """A block of code whose names that it imports from the package are links."""
    imports = _IMPORT.findall(_TAG.sub("", code))
    names = {name for line in imports for name in re.findall(r"\w+", line)}
    return _HIGHLIGHTED.sub(
        lambda m: link(m) if m["name"] in names else m[0], code
    )
