"""Tables of the studies, printed and kept for the pages."""

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def table(header, rows):
    """A table in Markdown; the first column is text, the others numbers."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def keep(name, header, rows):
    """Print the table and write it to ``docs/tables/<name>.md``."""
    text = table(header, rows)
    print(f"\n{name}\n\n{text}", flush=True)
    path = DOCS / "tables" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def kept(name):
    """The rows of a kept table by their first column, in their order."""
    path = DOCS / "tables" / f"{name}.md"
    lines = path.read_text().splitlines()[2:] if path.exists() else []
    cells = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    return {first: rest for first, *rest in cells}
