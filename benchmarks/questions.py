"""The questions that users ask, and which benchmarks answer each.

A question names its cases by the ids of tests, and what a reader should call them. The ids stand
here and in the appendix of the page only.
"""

from typing import NamedTuple


class Case(NamedTuple):
    """A benchmark, by the start of its id, and its name in words."""

    test: str
    words: str


class Question(NamedTuple):
    """A heading, how the answer was measured, the kind of chart, and its cases."""

    name: str
    title: str
    text: str
    cases: list[Case]


MEMBERS = (1, 8, 16, 64, 256)
ROWS = (1_000, 10_000, 100_000)
#: The regressions of posteriordb, and the packages that they are compared with. Chains of blayers
#: mix on none of them, which takes minutes on the larger ones (docs/tables/draws.md has them all).
PAIRS = [
    *(
        (name, side)
        for side in ("NumPyro", "bambi")
        for name in ("kidiq", "nes", "mesquite", "earnings")
    ),
    ("mesquite", "blayers"),
]

QUESTIONS = [
    Question(
        "step",
        "How fast is one step?",
        "A training step of an ensemble compared with the shortest hand-written program for the "
        "same computation: `jax.vmap` under one `jax.lax.scan`, of value, gradient and Adam for "
        "modes, and of `numpyro.infer.SVI.update` for variational posteriors. The network has "
        "8-64-64-1 units, and there are 500 rows. The same modes by torch.func: `vmap` of "
        "`grad_and_value` and `torch.optim.Adam`, called from a Python loop, as its tutorial "
        "has it. Points are medians of ratios, lines their range, gray marks the goals.",
        [
            *[
                Case(f"test_ensemble.py::test_step_of_run[{m}-scan]", f"modes, {m}")
                for m in MEMBERS
            ],
            *[
                Case(f"test_svi.py::test_run_against_scan[{m}]", f"variational, {m}")
                for m in MEMBERS
            ],
            *[
                Case(f"test_peers.py::test_step_against_torch[{m}]", f"modes, {m}: torch")
                for m in (1, 16, 64)
            ],
        ],
    ),
    Question(
        "first",
        "How long until the first result?",
        "Seconds from the call to the result, compilation included, compared with blayers: a "
        "linear regression with a learned scale and noise, 2,000 rows, 5 columns, in a process "
        "that has fitted other models before. A deep ensemble with chains compared with "
        "sklearn-contrib-bde: 4 networks of 5-16-16-2 units on 400 rows, 300 steps of Adam, then "
        "a microcanonical Langevin chain of 1,500 steps from each, and predictions of 400 rows. "
        "Both fits predict new rows equally well; the appendix has their NLLs. "
        "Each library runs in a process of its own environment.",
        [
            Case(
                "test_peers.py::test_first_step_of_a_model[None]", "first step, new model"
            ),
            Case("test_peers.py::test_first_step_again[None]", "first step, known model"),
            Case("test_peers.py::test_first[predict]", "first prediction"),
            Case("test_peers.py::test_first[summary]", "first summary"),
            Case("test_peers.py::test_whole_fit[None]", "5,000 steps, new model"),
            Case("test_peers.py::test_deep_ensemble", "networks and chains (bde)"),
        ],
    ),
    Question(
        "members",
        "What do more members cost?",
        "Seconds of one variational step of all members, compared with `jax.vmap` of NumPyro's "
        "update, called from a Python loop. The same network and rows as above.",
        [Case(f"test_svi.py::test_run_against_updates[{m}]", str(m)) for m in MEMBERS],
    ),
    Question(
        "rows",
        "What do more rows cost?",
        "Seconds of one step of 8 modes, on all rows and in shuffled minibatches of 256, "
        "compared with the hand-written scans, whose minibatches are the next 256 rows, not "
        "shuffled.",
        [
            *[Case(f"test_rows.py::test_all_rows[{n}]", f"all rows, {n}") for n in ROWS],
            *[
                Case(f"test_rows.py::test_minibatch[{n}]", f"minibatches, {n}")
                for n in (*ROWS, 1_000_000)
            ],
        ],
    ),
    Question(
        "draws",
        "What is the effective sample size per second?",
        "NUTS, one chain of 200 draws after 200 warm-up steps, by `fit` and by blayers: the "
        "smallest effective sample size of the coefficients divided by the seconds of the whole "
        "call. With 2,000 rows, centered coefficients are more efficient. Regressions of "
        "posteriordb: four chains of 1,000 draws after 500 warm-up steps, each package in a "
        "process of its own; processor seconds of the whole call, divided by the smallest "
        "effective sample size. NumPyro samples the same model by its own NUTS. blayers is "
        "compared on one of them, as its chains mix on none (see the page of samplers).",
        [
            Case("test_peers.py::test_effective_draws_per_second[True]", "centered"),
            Case("test_peers.py::test_effective_draws_per_second[False]", "non-centered"),
            *[
                Case(
                    f"test_samplers.py::test_seconds_of_an_effective_draw[{name}-{side}]",
                    f"{name}, {side}",
                )
                for name, side in PAIRS
            ],
        ],
    ),
]

_DIGITS = (
    "The density here keeps its digits at large counts and concentrations: it takes deviances "
    "and errors of Stirling's formula, where NumPyro takes differences of log gamma functions."
)
_ACCURATE = (
    *("poisson", "zero-inflated", "negative binomial", "zero-inflated negative binomial"),
    *("gamma", "binomial", "beta", "beta-binomial"),
)

# Why a goal was missed, by the start of the case's id.
REASONS = {
    **{f"test_links.py::test_log_density[{name}]": _DIGITS for name in _ACCURATE},
    "test_peers.py::test_effective_draws_per_second[False]": (
        "With so many rows, centered coefficients are more efficient; blayers samples these."
    ),
    "test_ensemble.py::test_step_of_update[1]": (
        "One member takes 0.5 ms per step, part of which is the overhead of a Python call; `run` "
        "takes all steps in one program."
    ),
}


# The cases of a quick run: not the largest ones, nor those that need other environments.
SLOW = "[256", "[64", "[100000", "[1000000", "[False", "test_samplers", "test_deep"
QUICK = {
    case.test
    for question in QUESTIONS
    for case in question.cases
    if not any(part in case.test for part in SLOW)
}
