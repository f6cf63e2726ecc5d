"""Write the results of the benchmarks as a page: five questions, the goals, all cases.

python -m benchmarks.report [results.json ...] [--output docs/benchmarks.md] [--no-page]
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path

from benchmarks.charts import draw
from benchmarks.questions import QUESTIONS, REASONS

ROOT = Path(__file__).parent
UNKNOWN = "the reason is not known."

INTRODUCTION = """# Benchmarks

This page shows how long fits take, compared with the same computation written by hand in
JAX and with other libraries. Two ways of computing the same thing are timed alternately in
one process, so that other load on the machine affects both; other packages run in a process of
their own environment, alternately too. The tables report the median
over rounds of the ratio of their times, with its range. A ratio below 1 means that this
library is faster. A goal is the largest ratio that we accept.
"""
GOALS = """## All goals

One line for each comparison that has a goal. {passed} of {total} are met.
"""
GROWTH = """## How does the cost grow?

`EnsembleSVI` on a network of 8-32-1 units, 16 members and 10,000 rows unless it is what
grows. Times are processor seconds, memory is what the process held at most, less what it
held before the data. An exponent of 1 means that doubling the size doubles the cost; it is
fitted to the larger half of the sizes. `python -m benchmarks.studies.growth` makes the table.

--8<-- "docs/tables/growth.md"
"""
APPENDIX = """## Appendix: all cases

Times are medians without compilation; compilation times have a separate column. The ratio
of work compares CPU times over all threads. NLLs are those of rows that were not fitted. For
gradient estimators, the variance ratio is the total variance of the plain gradient divided by
that of the estimator, and the efficiency is the variance ratio divided by the ratio of times.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, help="default: results/*.json")
    parser.add_argument(
        "--output", type=Path, default=ROOT.parent / "docs" / "benchmarks.md"
    )
    parser.add_argument("--no-page", action="store_true", help="print the goals only")
    arguments = parser.parse_args()
    paths = arguments.results or sorted((ROOT / "results").glob("[cg]pu.json"))
    if not paths:
        parser.error("no results: run `make bench` first, or pass its JSON file")
    entries = [
        entry for path in paths for entry in json.loads(path.read_text())["benchmarks"]
    ]
    if arguments.no_page:
        print(goals(entries))
    else:
        arguments.output.write_text(page(entries, arguments.output.parent / "pictures"))


def page(entries, pictures):
    """The page, and its charts beside it."""
    machines = {entry["extra_info"].get("device") for entry in entries}
    versions = {
        f"JAX {info['jax']}, NumPyro {info['numpyro']}"
        for info in (entry["extra_info"] for entry in entries)
        if "jax" in info
    }
    peers = {
        ", ".join(f"{name} {number}" for name, number in found.items() if number)
        for found in (entry["extra_info"].get("peer", {}) for entry in entries)
        if found
    }
    measured = (
        "`make bench` writes this page. "
        f"Measured on {listed(machines)} with {listed(versions)}.\n"
    )
    if peers:
        measured += f"Other packages: {listed(peers)}.\n"
    answers = [answer(question, entries, pictures) for question in QUESTIONS]
    by_file = defaultdict(list)
    for entry in entries:
        by_file[file_of(entry)].append(entry)
    sections = [section(name, found) for name, found in sorted(by_file.items())]
    return "\n".join(
        [INTRODUCTION, measured, *answers, GROWTH, goals(entries), APPENDIX, *sections]
    )


def answer(question, entries, pictures):
    """Heading, text and chart of a question; a word where nothing was measured."""
    found = {id_of(entry): entry["extra_info"] for entry in entries}
    rows = [(case.words, found[case.test]) for case in question.cases if case.test in found]
    lines = [f"## {question.title}", "", question.text, ""]
    if rows:
        draw(question, rows, pictures / f"bench_{question.name}.png")
        lines.append(f"![{question.title}](pictures/bench_{question.name}.png)")
    else:
        lines.append("Not measured in this run.")
    left_out = [case.words for case in question.cases if case.test not in found]
    if rows and left_out:
        lines += ["", f"Not measured in this run: {', '.join(left_out)}."]
    return "\n".join([*lines, ""])


def goals(entries):
    """The table of goals, worst first, and a sentence for each that is missed."""
    rows, missed = [], []
    held = [entry for entry in entries if entry["extra_info"].get("goal") is not None]
    for entry in sorted(held, key=lambda e: -_excess(e)):
        info = entry["extra_info"]
        low, high = info.get("ratio_range", (info["ratio"],) * 2)
        is_met = info["ratio"] <= info["goal"]
        cells = [
            words_of(entry),
            f"{info['ratio']:.3g}",
            f"{low:.3g} to {high:.3g}",
            f"{info['goal']:.3g}",
            "met" if is_met else "**missed**",
        ]
        rows.append("| " + " | ".join(cells) + " |")
        if not is_met:
            missed.append(f"- {words_of(entry)}: {reason(entry)}")
    head = (
        "| What was compared | Ratio | Range | Goal | |\n| --- | ---: | ---: | ---: | --- |"
    )
    text = GOALS.format(passed=len(held) - len(missed), total=len(held))
    return "\n".join([text, head, *rows, "", *missed, ""])


def _excess(entry):
    return entry["extra_info"]["ratio"] / entry["extra_info"]["goal"]


def reason(entry):
    """Why a goal is missed: what is known of the case, or what its figures show."""
    info, name = entry["extra_info"], id_of(entry)
    for test, text in REASONS.items():
        if name.startswith(test):
            return text
    work, (low, _) = info.get("work_ratio"), info.get("ratio_range", (math.inf,) * 2)
    if work is not None and work <= info["goal"]:
        return f"by processor seconds, the ratio is {work:.3g}, within the goal."
    return "the range of the rounds includes the goal." if low <= info["goal"] else UNKNOWN


def words_of(entry):
    """A case without its test's id: what the test says, and its parameters."""
    info = entry["extra_info"]
    words = info.get("words") or entry["name"].removeprefix("test_").split("[")[0]
    parameters = info.get("parameters")
    return f"{words.rstrip('.')} ({parameters})" if parameters else words.rstrip(".")


def id_of(entry):
    return f"{file_of(entry)}.py::{entry['name']}"


def file_of(entry):
    return Path(entry["fullname"].split("::")[0]).stem


def listed(words):
    return "; ".join(sorted(word for word in words if word)) or "an unknown machine"


def section(name, entries):
    """A heading and a table, without the columns that would be empty."""
    rows = [row(entry) for entry in entries]
    columns = [c for c in rows[0] if any(r[c] for r in rows)]
    lines = [f"### {name.removeprefix('test_').replace('_', ' ').capitalize()}", ""]
    lines.append(f"`benchmarks/{name}.py`\n")
    lines.append("| " + " | ".join(columns) + " |")
    lines.append("| " + " | ".join("---" if c in TEXT else "---:" for c in columns) + " |")
    lines += ["| " + " | ".join(r[c] for c in columns) + " |" for r in rows]
    return "\n".join([*lines, ""])


TEXT = ("case", "backend")


def row(entry):
    """The cells of one case."""
    info = entry["extra_info"]
    return {
        "case": f"`{entry['name'].removeprefix('test_')}`",
        "backend": info.get("backend", "cpu"),
        "compile s": number(info.get("compile_seconds")),
        "median time": duration(info.get("seconds_per_step") or entry["stats"]["median"]),
        "other": duration(info.get("other_seconds_per_step")),
        "ratio": number(info.get("ratio")),
        "ratio of work": number(info.get("work_ratio")),
        "goal": number(info.get("goal")),
        "variance ratio": number(info.get("variance_ratio")),
        "efficiency": number(info.get("efficiency")),
        "NLL": number(info.get("nll")),
        "other NLL": number(info.get("other_nll")),
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
