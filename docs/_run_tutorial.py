"""Run a page that is a program: `python docs/_run_tutorial.py page.py page.ipynb`.

Writes the notebook with its outputs, and prints the CPU seconds that it took.
"""

import resource
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient


def main(source, target):
    """Execute the cells in the folder of the page; an error in one is an error."""
    notebook = jupytext.read(source)
    where = {"metadata": {"path": str(Path(source).parent)}}
    NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources=where
    ).execute()
    nbformat.write(notebook, target)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
