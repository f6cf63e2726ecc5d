"""Write the results of the benchmarks as tables.

python benchmarks/report.py [results.json ...] [--output docs/benchmarks.md]
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent

INTRODUCTION = """# Benchmarks

Times are medians. They exclude compilation, whose seconds have a separate column. A ratio
compares two ways of computing the same thing, timed alternately in one process: below 1
ours is faster, and the goal, where there is one, is the upper limit for the ratio. The
ratio of work compares CPU times over all threads. The file of a case says what it is
compared with. For gradient estimators, the variance ratio is the plain gradient's total
variance over the gradient estimator's, and the efficiency is the variance ratio over the
ratio of times.

`make bench` measures on your machine and writes this page.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, help="default: results/*.json")
    parser.add_argument(
        "--output", type=Path, default=ROOT.parent / "docs" / "benchmarks.md"
    )
    arguments = parser.parse_args()
    paths = arguments.results or sorted((ROOT / "results").glob("*.json"))
    if not paths:
        parser.error(
            "no results: run `pytest benchmarks` first, or name a file of its JSON"
        )
    arguments.output.write_text(page([json.loads(path.read_text()) for path in paths]))


def page(results):
    """The page for some files of results."""
    by_file, machines, versions = defaultdict(list), set(), set()
    for result in results:
        for entry in result["benchmarks"]:
            info = entry["extra_info"]
            by_file[Path(entry["fullname"].split("::")[0]).stem].append(entry)
            machines.add(info.get("device") or result["machine_info"].get("device"))
            if "jax" in info:
                versions.add(f"JAX {info['jax']}, NumPyro {info['numpyro']}")
    measured = f"Measured on {listed(machines)} with {listed(versions)}."
    sections = [section(name, entries) for name, entries in sorted(by_file.items())]
    return "\n".join([INTRODUCTION, measured, "", *sections])


def listed(words):
    return "; ".join(sorted(word for word in words if word)) or "an unknown machine"


def section(name, entries):
    """A heading and a table, without the columns that would be empty."""
    rows = [row(entry) for entry in entries]
    columns = [c for c in rows[0] if any(r[c] for r in rows)]
    lines = [f"## {name.removeprefix('test_').replace('_', ' ').capitalize()}", ""]
    lines.append(f"`benchmarks/{name}.py`\n")
    lines.append("| " + " | ".join(columns) + " |")
    lines.append("| " + " | ".join("---" if c in TEXT else "---:" for c in columns) + " |")
    lines += ["| " + " | ".join(r[c] for c in columns) + " |" for r in rows]
    return "\n".join([*lines, ""])


TEXT = ("case", "backend")


def row(entry):
    """The cells of one case."""
    info = entry["extra_info"]
    ratio, goal = info.get("ratio"), info.get("goal")
    return {
        "case": f"`{entry['name'].removeprefix('test_')}`",
        "backend": info.get("backend", "cpu"),
        "compile s": number(info.get("compile_seconds")),
        "median time": duration(info.get("seconds_per_step") or entry["stats"]["median"]),
        "other": duration(info.get("other_seconds_per_step")),
        "ratio": number(ratio),
        "ratio of work": number(info.get("work_ratio")),
        "goal": number(goal),
        "variance ratio": number(info.get("variance_ratio")),
        "efficiency": number(info.get("efficiency")),
        "Gflop": number(info["flops"] / 1e9) if info.get("flops") else "",
        "MiB held": number(info["temp_bytes"] / 2**20) if info.get("temp_bytes") else "",
    }


def number(value):
    return "" if value is None else f"{value:.3g}"


def duration(seconds):
    """Seconds in the unit that suits them."""
    if seconds is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


if __name__ == "__main__":
    main()
