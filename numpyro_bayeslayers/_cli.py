"""The command `numpyro-bayeslayers`: a list of installed objects, and a demonstration."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from . import __version__, registry
from .registry import Provider

_COLUMNS = ("room", "name", "package", "version", "status")
_DEMO_NEEDS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments `argv` and return its exit status."""
    options = _parser().parse_args(argv)
    if options.command == "demo":
        return _demo(options)
    return _list(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="numpyro-bayeslayers",
        description="Bayesian layers, gradient estimators and ensembles for NumPyro.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    listing = commands.add_parser("list", help="list installed objects and their packages")
    listing.add_argument("room", nargs="?", choices=registry.ROOMS, help="default: all")
    listing.add_argument(
        "--check",
        action="store_true",
        help="import each object; exit with status 1 if an import fails",
    )

    demo = commands.add_parser(
        "demo", help=("fit one data set by four methods and plot the predictions")
    )
    demo.add_argument(
        "--out",
        metavar="PATH",
        default="bayeslayers-demo.png",
        help="the file of the figure; default: %(default)s",
    )
    demo.add_argument("--quick", action="store_true", help="fewer steps")
    return parser


def _list(options: argparse.Namespace) -> int:
    rooms = [options.room] if options.room else registry.ROOMS
    try:
        rows = [
            row for room in rooms for row in registry.providers(room, check=options.check)
        ]
    except RuntimeError as error:  # not installed
        print(error, file=sys.stderr)
        return 1
    print(_table(rows))
    faults = dict.fromkeys(f"{row.status}: {row.error}" for row in rows if row.error)
    for fault in faults:  # a name clash is in two rows but printed once
        print(f"\n{fault}")
    return 1 if options.check and faults else 0


def _table(rows: Sequence[Provider]) -> str:
    """The rows with a header, in aligned columns."""
    lines = [
        _COLUMNS,
        *(tuple(getattr(row, column) for column in _COLUMNS) for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join(padded)


def _demo(options: argparse.Namespace) -> int:
    missing = [
        package for module, package in _DEMO_NEEDS.items() if find_spec(module) is None
    ]
    if missing:
        print(
            f"The demo needs {' and '.join(missing)}. Install the extra: pip install "
            "'numpyro-bayeslayers[demo]'",
            file=sys.stderr,
        )
        return 1
    from . import _demo as demo

    try:
        demo.main(options.out, quick=options.quick)
    except FileNotFoundError as error:  # the folder of the figure
        print(error, file=sys.stderr)
        return 1
    return 0
