"""The pictures of the pages for a first day, by the code that the pages show.

python benchmarks/studies/first_day.py
"""

import os
import shutil
import tempfile
from pathlib import Path

from pages import blocks
from tables import DOCS


def run(page):
    """Run the blocks of a page in a folder of their own, and keep the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names = {"__name__": "__main__"}
        for code, _ in blocks(page):
            exec(code, names)
        for picture in Path(folder).glob("*.png"):
            shutil.copy(picture, DOCS / "pictures")
        os.chdir(DOCS)


def main():
    for page in ("first_number", "first_classes", "first_counts"):
        print(page, flush=True)
        run(page)


if __name__ == "__main__":
    main()
