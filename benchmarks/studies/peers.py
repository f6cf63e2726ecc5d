"""Other packages, each in an environment of its own.

    python benchmarks/studies/peers.py [--only NAME ...]

makes the environments that are not there, in .cache/peers or in the folder that the variable
``BENCHMARK_PEERS`` names. One that cannot be installed is left out, with a word that comparisons
repeat. What is run there is a file of ours: once, with one line of JSON as its answer (`ask`), or
kept running, with one line for each call (`Peer` here, `serve` there).
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("BENCHMARK_PEERS") or ROOT / ".cache" / "peers")
NEEDS = {
    "bambi": ["bambi==0.17.2", "nutpie==0.16.8"],
    "bde": ["sklearn-contrib-bde==1.0.2"],
    "blayers": ["blayers==0.3.8"],
    "torch": ["torch==2.13.0", "laplace-torch==0.3", "numpy"],
}
#: The same versions there as here, so that the package alone is another one.
SHARED = {"blayers": ("jax", "numpyro")}
#: Versions of Python, the first that is found; any supported one otherwise.
PYTHONS = {"blayers": ("3.13", "3.12")}
#: Seconds after which an installation is given up.
PATIENCE = 900


def interpreter(name):
    """That of a peer's environment; None if there is none."""
    python = FOLDER / name / "bin" / "python"
    return str(python) if python.exists() else None


def why_not(name):
    """Why a peer has no environment, in a line."""
    word = FOLDER / f"{name}.failed"
    make = f"`python benchmarks/studies/peers.py --only {name}` makes one"
    reason = word.read_text().strip() if word.exists() else make
    return f"{name} has no environment: {reason}"


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


class Peer:
    """A process of a peer's environment that answers one call after another.

    Args:
        name: The peer, which must have an environment.
        file: Our file that runs there with this name, and ends in `serve`.
    """

    def __init__(self, name, file):
        command = [interpreter(name), str(file), name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, **pipes)
        self.versions = self.call("versions")["value"]

    def call(self, what, *arguments):
        """The answer to a call: its value, and the seconds of both clocks."""
        print(json.dumps([what, *arguments]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process has ended"}
        if "error" in answer:
            raise RuntimeError(f"{what} fails there: {answer['error']}")
        return answer

    def timed(self, what, *arguments):
        """A function of no arguments that makes a call, for the fixture `compare`.

        An argument that is a function gives another one each time.
        """
        return _Timed(self, what, arguments)

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class _Timed:
    """A call; `used` are the seconds of the processor there, `value` is what it gave."""

    def __init__(self, peer, what, arguments):
        self.versions = peer.versions
        self.used, self.value = 0.0, None
        now = lambda: [a() if callable(a) else a for a in arguments]
        self._call = lambda: peer.call(what, *now())

    def __call__(self):
        answer = self._call()
        self.used, self.value = answer["used"], answer["value"]


def serve(calls, packages):
    """Answer calls, one a line, until there are no more.

    Args:
        calls: Functions of what JSON can hold, by name.
        packages: The packages whose versions are told.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print must not get between the answers
    own = {"versions": lambda: {name: _version(name) for name in packages}}
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        start = clocks()
        try:
            answer = {"value": (own | calls)[what](*arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        used, clock = (b - a for a, b in zip(start, clocks(), strict=True))
        print(json.dumps(answer | {"used": used, "clock": clock}), file=out, flush=True)


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def make(name):
    """Make a peer's environment; or remove what there is of it, and keep a word."""
    folder, word = FOLDER / name, FOLDER / f"{name}.failed"
    try:
        found = _run(ROOT / ".ci" / "pythons", *PYTHONS.get(name, ())).split()
        if not found:
            raise RuntimeError(f"it needs Python {' or '.join(PYTHONS.get(name, ()))}")
        same = [f"{p}=={_version(p)}" for p in SHARED.get(name, ()) if _version(p)]
        _run(found[0], "-m", "venv", folder)
        install = "-m", "pip", "install", "-q", "--disable-pip-version-check"
        _run(folder / "bin" / "python", *install, *NEEDS[name], *same)
        word.unlink(missing_ok=True)
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(folder, ignore_errors=True)
        word.write_text(str(error).strip().splitlines()[-1])
        print(f"{why_not(name)}; comparisons with it are left out", file=sys.stderr)


def _run(*command):
    """What a command prints."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"{command[0]} fails")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=NEEDS, default=list(NEEDS))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in parser.parse_args().only:
        if interpreter(name) is None:
            print(f"Installing {', '.join(NEEDS[name])} ...", file=sys.stderr)
            make(name)


if __name__ == "__main__":
    main()
