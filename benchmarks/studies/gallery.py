"""The pictures of the gallery, by the lines that its page shows.

python benchmarks/studies/gallery.py [name ...]

Each block of the page that is followed by a picture draws it; all blocks run in one namespace.
With names, only those blocks (and the ones without a picture) run.
"""

import sys
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from pages import blocks
from tables import DOCS


def main():
    """Write the pictures."""
    wanted = set(sys.argv[1:])
    names = {"__name__": "__main__"}
    for code, picture in blocks("gallery"):
        if picture and wanted and not any(name in picture for name in wanted):
            continue
        start = time.process_time()
        exec(code, names)
        if picture:
            plt.gcf().savefig(DOCS / picture, dpi=80, bbox_inches="tight")
            plt.close("all")
            print(f"{picture}: {time.process_time() - start:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
