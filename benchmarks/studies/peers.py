"""Other packages, each in an environment of its own.

    python benchmarks/studies/peers.py FOLDER [NAME ...]

makes the environments; the variable ``BENCHMARK_PEERS=FOLDER`` tells of them. What is run there
is a file of ours, which prints one line of JSON.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import venv
from pathlib import Path

NEEDS = {
    "bambi": ["bambi==0.17.2", "nutpie==0.16.8"],
    "blayers": ["blayers==0.3.8"],
    "bde": ["sklearn-contrib-bde==1.0.2"],
}


def interpreter(name):
    """That of a peer's environment; None if there is none."""
    folder = os.environ.get("BENCHMARK_PEERS")
    python = Path(folder, name, "bin", "python") if folder else None
    return str(python) if python and python.exists() else None


def ask(python, file, *arguments):
    """What a file of ours prints in a process of its own; or the error that it ends with."""
    command = [str(python), str(file), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    return {"error": lines[-1]} if done.returncode else json.loads(lines[-1])


def clocks():
    """Seconds of the processor, of all threads and children, and of the clock."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    used = sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))
    return used, time.perf_counter()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(NEEDS), metavar="NAME")
    options = parser.parse_args()
    for name in options.names:
        folder = options.folder / name
        venv.create(folder, with_pip=True)
        python = str(folder / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *NEEDS[name]], check=True)
        print(name, "is in", folder, file=sys.stderr)


if __name__ == "__main__":
    main()
