"""Formulas of pages as MathML, which browsers draw without a script or a network."""

import html
import re

from latex2mathml.converter import convert

# What the Markdown of pages gives, and what the cells of tutorials are left as.
_MARKED = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\(?P<open>[(\[])(?P<text>.*?)\\[)\]]</(?P=tag)>',
    re.DOTALL,
)
_CODE = re.compile(
    r"(<(?:pre|code|script|style)\b.*?</(?:pre|code|script|style)>)", re.DOTALL
)
_TEXT = re.compile(r"\\text\{[^}]*\}")
_DOLLARS = re.compile(
    r"\$\$(?P<block>[^$]+)\$\$|(?<![\\$\w])\$(?P<line>[^$\n<>]+)\$(?!\d)"
)


def as_mathml(page: str, *, is_tutorial: bool = False) -> str:
    """The HTML of a page with its formulas converted; those of tutorials stand in dollars."""
    page = _MARKED.sub(lambda m: _formula(m["text"], m["open"] == "["), page)
    if is_tutorial:
        parts = _CODE.split(page)
        parts[::2] = [_DOLLARS.sub(_of_dollars, part) for part in parts[::2]]
        page = "".join(parts)
    return page


def _of_dollars(match: re.Match[str]) -> str:
    is_block = match["block"] is not None
    return _formula(match["block"] if is_block else match["line"], is_block)


def _formula(text: str, is_block: bool) -> str:
    text = html.unescape(text).strip()
    # The converter would print the backslash.
    text = _TEXT.sub(lambda m: m[0].replace(r"\_", "_"), text)
    return convert(text, display="block" if is_block else "inline")
