"""The questions of the benchmarks name cases that there are; the table of goals says what is so."""

import ast
from pathlib import Path

import pytest

from benchmarks.questions import QUESTIONS, QUICK, REASONS
from benchmarks.report import goals
from benchmarks.test_links import ALL
from numpyro_bayeslayers import layers

FOLDER = Path(__file__).parents[1] / "benchmarks"
CASES = [case.test for question in QUESTIONS for case in question.cases]


@pytest.mark.parametrize("test", sorted({t.split("[")[0] for t in [*CASES, *REASONS]}))
def test_cases_are_there(test):
    file, function = test.split("::")
    tree = ast.parse((FOLDER / file).read_text())
    assert function in {node.name for node in tree.body if hasattr(node, "name")}


def test_quick_cases_answer_every_question():
    for question in QUESTIONS:
        assert any(case.test in QUICK for case in question.cases), question.name


def test_every_link_has_a_row():
    measured = {case[0] for case in ALL.values()}
    # Others are called with more arguments there.
    given = {"ordinal_link", "binomial_link", "beta_binomial_link", "heteroscedastic_link"}
    for name in layers.__all__:
        if name.endswith("_link") and name not in given:
            assert getattr(layers, name) in measured, name


def entry(name, **figures):
    info = {"ratio": 1.2, "goal": 1.1, "ratio_range": (1.0, 1.3), **figures}
    return {"fullname": f"benchmarks/test_x.py::{name}", "name": name, "extra_info": info}


def test_every_missed_goal_has_its_sentence():
    entries = [
        entry("test_met", ratio=1.05),
        entry("test_busy", ratio_range=(1.15, 1.3), work_ratio=1.02),
        entry("test_spread"),
        entry("test_slow", ratio_range=(1.15, 1.3), work_ratio=1.2),
        {**entry("test_timed"), "extra_info": {}},
    ]
    text = goals(entries)
    assert "1 of 4 are met" in text
    assert "| met | 1.05 | 1 to 1.3 | 1.1 | met |" in text
    assert "| slow | 1.2 | 1.15 to 1.3 | 1.1 | **missed** |" in text
    assert "- busy: by processor seconds, the ratio is 1.02, within the goal." in text
    assert "- spread: the range of the rounds includes the goal." in text
    assert "- slow: the reason is not known." in text
    assert "timed" not in text
