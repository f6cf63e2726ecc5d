"""The pictures of the pages for a first day, by the code that the pages show.

python -m benchmarks.studies.first_day
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```py(?:thon)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(page):
    """Run the blocks of a page in a folder of their own, and keep the pictures."""
    text = (DOCS / f"{page}.md").read_text()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names = {"__name__": "__main__"}
        for source in BLOCK.findall(text):
            exec(compile(source, f"{page}.md", "exec"), names)
        for picture in Path(folder).glob("*.png"):
            shutil.copy(picture, DOCS / "pictures")
        os.chdir(DOCS)


def main():
    for page in ("first_number", "first_classes", "first_counts"):
        print(page, flush=True)
        run(page)


if __name__ == "__main__":
    main()
