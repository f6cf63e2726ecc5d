"""The pictures of the gallery, by the lines that its page shows.

python benchmarks/studies/gallery.py [name ...]

Each block of the page that is followed by a picture draws it; all blocks run in one namespace.
With names, only those pictures are drawn, from the same data: the other blocks, which share a
generator of random numbers, run without their fits and plots.
"""

import sys
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from pages import blocks
from tables import DOCS


class Nothing:
    """Stands for the results of fits and plots that nobody asked for."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args, **kwargs):
        return self

    def __array__(self, dtype=None, copy=None):
        return np.zeros((2, 2), dtype)


def main():
    """Write the pictures."""
    wanted = set(sys.argv[1:])
    names = {"__name__": "__main__"}
    for code, picture in blocks("gallery"):
        start = time.process_time()
        if picture and wanted and not any(name in picture for name in wanted):
            names = run_data(code, names)
            continue
        exec(code, names)
        if picture:
            plt.gcf().savefig(DOCS / picture, dpi=80, bbox_inches="tight")
            plt.close("all")
            print(f"{picture}: {time.process_time() - start:.0f} CPU seconds", flush=True)


def run_data(code, names):
    """Run a block for its data alone, if it draws any."""
    if "rng" not in code.co_names:
        return names
    costly = {n: x for n, x in names.items() if n == "fit" or n.startswith("plot_")}
    names = names | dict.fromkeys(costly, Nothing())
    exec(code, names)
    plt.close("all")
    return names | costly


if __name__ == "__main__":
    main()
