"""Every public call with one argument made wrong at a time, and what comes of it.

Calls are those of the tables of cases, run by their shapes alone. A wrong value is one that no
argument of its kind may have (words for numbers, objects for arrays), or one that is unusual
and may be fine (a single row, no rows, half precision): the first must be refused by an error
that names the argument, the second may be taken, too.
"""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro.handlers import seed

from numpyro_bayeslayers import layers, metrics
from tests.cases.distributions import DISTRIBUTIONS
from tests.cases.layers import LAYERS
from tests.cases.regression import Named

F = np.linspace(-1.0, 1.0, 4, dtype=np.float32)
ONES = np.ones(4, np.float32)
# Where predictions and observations are other than a column and ones.
LINKS: dict[str, dict[str, Any]] = {
    "beta_link": {"y": ONES / 2},
    "beta_binomial_link": {"trials": 3 * ONES},
    "binomial_link": {"trials": 3 * ONES},
    "categorical_link": {
        "y_hat": np.ones((4, 3), np.float32),
        "y": np.arange(4) % 3,
        "offset": np.ones((4, 3), np.float32),
    },
    "multivariate_normal_link": {
        "y_hat": np.ones((4, 2), np.float32),
        "y": np.ones((4, 2), np.float32),
    },
    "heteroscedastic_link": {"scale_hat": F[:, None]},
}

DRAWS = np.linspace(-2.0, 2.0, 24, dtype=np.float32).reshape(6, 4)
PROBS = np.array([[0.7, 0.3], [0.4, 0.6], [0.2, 0.8], [0.9, 0.1]], np.float32)
# Scores of observations, by name, with their other arguments.
SCORES: dict[str, dict[str, Any]] = {
    "crps_draws": {"y": F, "draws": DRAWS},
    "crps_normal": {"y": F, "loc": 0 * F, "scale": ONES},
    "crps_negative_binomial": {"y": ONES, "mean": ONES, "concentration": ONES},
    "interval_score": {"y": F, "lower": F - 1, "upper": F + 1, "alpha": 0.1},
    "pinball_loss": {"y": F, "quantiles": DRAWS[:2], "levels": np.array([0.2, 0.5])},
    "energy_score": {"y": F[:, None], "draws": DRAWS[..., None]},
    "pit": {"y": F, "prediction": DRAWS},
    "coverage_by_level": {"y": F, "prediction": DRAWS},
    "mean_absolute_error": {"y": F, "prediction": F},
    "brier_score": {"y": np.arange(4) % 2, "probs": PROBS},
    "reliability": {"y": np.arange(4) % 2, "probs": PROBS, "num_bins": 3},
}

SEEN = "refused, the argument named"
TAKEN = "taken, as it may be"
OTHER = "refused, another argument named"
UNCLEAR = "unclear error"
ACCEPTED = "wrong value taken"


class Call(NamedTuple):
    """A call, with arguments by name, and which of them may be None."""

    run: Callable[..., Any]
    arguments: dict[str, Any]
    optional: frozenset[str] = frozenset()


class Mutation(NamedTuple):
    """One argument of a call made another."""

    call: str
    argument: str
    kind: str
    value: Any
    is_wrong: bool


def _bound(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Arguments by name, those that are not given aside."""
    return dict(inspect.signature(fn).bind(*args, **kwargs).arguments)


def _optional(fn: Callable[..., Any]) -> frozenset[str]:
    parameters = inspect.signature(fn).parameters.values()
    return frozenset(p.name for p in parameters if p.default is None)


def _traced(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a model by its shapes alone; its arguments are known, as those of users are."""

    def run(**arguments: Any) -> Any:
        return jax.eval_shape(lambda key: seed(fn, key)(**arguments), jax.random.key(0))

    return run


def calls() -> dict[str, Call]:
    """All calls: layers of the tables, links, distributions, scores of observations."""
    found = {}
    for name, case in LAYERS.items():
        if name == "InterceptLayer":  # the table's call of it has inputs that it does not
            continue
        layer = case.make("a")
        if isinstance(layer, Named):
            inner = layer.layer
            given = _bound(
                inner, "term", *layer.prepare(*case.inputs), **dict(layer.options)
            )
            found[name] = Call(_traced(inner), given, _optional(inner))
        else:
            forward = layer._forward
            parameters = inspect.signature(forward).parameters.values()
            names = ["x" if p.kind == p.VAR_POSITIONAL else p.name for p in parameters]
            given = dict(zip(names, case.inputs, strict=False))
            by_name = lambda *, _layer=layer, **inputs: _layer(*inputs.values())
            found[name] = Call(_traced(by_name), given, _optional(forward))
    for name in layers.__all__:
        if name.endswith("_link"):
            link = getattr(layers, name)
            first = next(iter(inspect.signature(link).parameters))
            rows = {"weights": ONES, "mask": ONES > 0, "offset": F}
            given = {first: F[:, None], "y": ONES, **rows, **LINKS.get(name, {})}
            found[name] = Call(_traced(link), given, _optional(link))
    for name, case in DISTRIBUTIONS.items():
        if case.params and inspect.isclass(case.make):
            given = {n: case.params[n] for n in case.params}
            found[name] = Call(case.make, given, _optional(case.make))
    for name, given in SCORES.items():
        score = getattr(metrics, name)
        found[name] = Call(score, given, _optional(score))
    return found


class _Thing:
    """What is no number, and has no length."""


def values(given: Any) -> Iterator[tuple[str, Any, bool]]:
    """Kinds of other values for an argument of this value, and whether none may be taken."""
    if isinstance(given, (jax.Array, np.ndarray)):
        array = np.asarray(given)
        yield from (
            ("None", None, True),
            ("a word", "abc", True),
            ("an object", _Thing(), True),
            ("a dictionary", {"a": 1}, True),
            ("words", np.full(array.shape, "a"), True),
            ("objects", np.full(array.shape, _Thing(), object), True),
            ("complex numbers", array.astype(complex) + 1j, True),
            ("dates", np.full(array.shape, np.datetime64("2024-01-01")), True),
            ("a list", array.tolist(), False),
            ("half precision", array.astype(np.float16), False),
            ("NaN", np.full(array.shape, np.nan, np.float32), False),
            ("infinity", np.full(array.shape, np.inf, np.float32), False),
            ("huge numbers", np.full(array.shape, 1e30, np.float32), False),
        )
        if array.ndim:
            yield "one row", array[:1], False
            yield "no rows", array[:0], False
            yield "one more axis", array[None], False
            yield "one more row", np.concatenate([array, array[:1]]), False
        if array.ndim > 1:
            yield "one more column", np.concatenate([array, array[..., :1]], -1), False
    elif isinstance(given, bool):
        yield from (("a word", "yes", True), ("a number", 2, True))
    elif isinstance(given, (int, float)):
        yield from (
            ("None", None, True),
            ("a word", "3", True),
            ("an object", _Thing(), True),
            ("a dictionary", {}, True),
            ("a complex number", 1j, True),
            ("NaN", np.nan, True),
            ("a switch", True, True),
            ("two numbers", np.array([given, given]), False),
            ("minus infinity", -np.inf, True),
            ("a number of NumPy", np.asarray(given)[()], False),
        )
    elif isinstance(given, str):
        yield from (("a number", 3, True), ("nothing", "", True), ("bytes", b"a", True))


def mutations(found: dict[str, Call]) -> list[Mutation]:
    """All of them, in one order."""
    out = []
    for name, call in found.items():
        for argument, given in call.arguments.items():
            for kind, value, is_wrong in values(given):
                if value is None and argument in call.optional:
                    is_wrong = False
                out.append(Mutation(name, argument, kind, value, is_wrong))
    return out


def outcome(call: Call, mutation: Mutation) -> tuple[str, str]:
    """What came of a mutation, and the words of the error."""
    arguments = {**call.arguments, mutation.argument: mutation.value}
    try:
        call.run(**arguments)
    except (TypeError, ValueError) as error:
        said = "\n".join([str(error), *getattr(error, "__notes__", [])])
        text = f"{type(error).__name__}: {said}"
        # NumPyro names the parameters of its distributions without quotes.
        own = rf"`{mutation.argument}\b|invalid {mutation.argument} parameter"
        if re.search(own, said):
            return SEEN, text
        others = "|".join(map(re.escape, call.arguments))
        is_ours = re.search(rf"`({others})\b", said)
        return (OTHER if is_ours else UNCLEAR), text
    except Exception as error:
        return UNCLEAR, f"{type(error).__name__}: {error}"
    return (ACCEPTED if mutation.is_wrong else TAKEN), ""


def counted(chosen: list[Mutation], found: dict[str, Call]) -> Counter[str]:
    """How many mutations came to what."""
    return Counter(outcome(found[m.call], m)[0] for m in chosen)
