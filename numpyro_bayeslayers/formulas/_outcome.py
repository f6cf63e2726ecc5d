"""The left-hand side of a formula: observations with their trials, weights and bounds."""

from typing import Any

import numpy as np

from ._columns import check_finite, evaluated
from ._family import Family
from ._table import Table, is_numeric, levels_in, names_in
from ._text import formulae

# The functions that may wrap the outcome.
WRAPPERS = ("c", "censored", "p", "prop", "proportion", "truncated", "weighted")
_PROPORTIONS = ("p", "prop", "proportion")


class Outcome:
    """The observations of a formula.

    Args:
        component: The left-hand side, as parsed by formulae.
        family: The likelihood.
        table: The first data set.
    """

    def __init__(self, component: Any, family: Family, table: Table) -> None:
        self._component = component
        self._family = family
        self._environment = formulae().Environment([table.namespace])
        self.name = component.name
        self._wrappers: list[tuple[str, Any]] = []
        inner = getattr(component, "call", None)
        while hasattr(inner, "callee") and inner.callee in WRAPPERS:
            self._wrappers.append((inner.callee, inner))
            if inner.callee == "c":
                break
            if not inner.args:
                raise ValueError(
                    f"`{inner}` must have an outcome: `{inner.callee}(y, ...)`."
                )
            inner = inner.args[0]
        self._inner = inner
        if inner is not None and not any(w == "c" for w, _ in self._wrappers):
            self.name = str(inner)
        if any(w in _PROPORTIONS for w, _ in self._wrappers) != (
            "binomial" in _name(family)
        ):
            raise ValueError(
                f"The outcome `{component.name}` does not fit the family: successes in trials "
                "are written `p(successes, trials)`, with the family binomial or "
                "beta_binomial."
            )
        values = self._values(table)
        self.levels: tuple[Any, ...] = ()
        if family.outcome == "classes":
            self.levels = levels_in(values)
            if is_numeric(values):
                self.levels = tuple(range(int(np.nanmax(np.asarray(values, float))) + 1))
        elif not is_numeric(values):
            raise ValueError(
                f"`{self.name}` must hold numbers for this family, got strings. The families "
                "for classes are bernoulli, categorical and ordinal."
            )
        self.units = np.shape(values)[1] if np.ndim(values) == 2 else 1

    @property
    def bounds(self) -> str | None:
        """Whether observations are censored or truncated."""
        found = [w for w, _ in self._wrappers if w in ("censored", "truncated")]
        if len(found) > 1:
            raise ValueError(
                "An outcome can be censored or truncated, not both, and only once."
            )
        return found[0] if found else None

    @property
    def needed(self) -> set[str]:
        """Names of the arguments that draws depend on: trials, and bounds of truncated outcomes."""
        calls = [c for w, c in self._wrappers if w in (*_PROPORTIONS, "truncated")]
        beside = [a for c in calls for a in (*c.args[1:], *c.kwargs.values())]
        return set().union(*map(names_in, beside))

    def values(self, table: Table) -> Any:
        """The observations; classes given as strings become a categorical column."""
        import pandas

        values = self._values(table)
        if is_numeric(values):
            return np.asarray(values)
        words = np.asarray(values, object)
        return pandas.Categorical(words, categories=list(self.levels))

    def beside(self, table: Table, *, is_first: bool) -> dict[str, np.ndarray]:
        """Trials, weights and bounds; for later data, those whose columns are present."""
        found: dict[str, np.ndarray] = {}
        for word, call in self._wrappers:
            for name, argument in _arguments(word, call).items():
                known = table.columns.keys() | table.namespace.keys()
                if is_first or names_in(argument) <= known:
                    found[name] = self._numbers(name, argument, table)
        self._check(found, table if is_first else None)
        return found

    def _values(self, table: Table) -> Any:
        if self._inner is None:
            values = table[self._component.name]
            level = getattr(self._component, "reference", None)
            if level is None:
                return values
            if level not in levels_in(values):
                raise ValueError(
                    f"`{self.name}` has no level {level!r}; its levels are "
                    f"{list(levels_in(values))}."
                )
            return np.asarray(np.asarray(values) == level, int)
        if getattr(self._inner, "callee", None) == "c":
            columns = [self._evaluated(a, table) for a in self._inner.args]
            return np.column_stack([np.asarray(column, float) for column in columns])
        return self._evaluated(self._inner, table)

    def _evaluated(self, part: Any, table: Table) -> Any:
        return evaluated(self._component.name, part, table, self._environment)

    def _numbers(self, name: str, part: Any, table: Table) -> np.ndarray:
        values = np.asarray(self._evaluated(part, table), float)
        values = np.broadcast_to(values, (len(table),)).copy()
        if name in ("trials", "weights"):
            check_finite(str(part), values)
        elif np.isnan(values).any():
            raise ValueError(
                f"`{part}`, a bound of `{self.name}`, is NaN in row "
                f"{np.isnan(values).argmax()}. Use infinity where there is no bound."
            )
        return values

    def _check(self, found: dict[str, np.ndarray], table: Table | None) -> None:
        """Check trials, bounds and weights, by themselves and against the observations."""
        for low, high in (("lower", "upper"), ("low", "high")):
            if low in found and high in found:
                self._refuse_rows(
                    ~(found[low] < found[high]),
                    f"has a {low} bound that is not below its {high} bound",
                    f"Are `{low}` and `{high}` swapped?",
                )
        if "weights" in found:
            self._refuse_rows(found["weights"] < 0, "has a negative weight", "")
        if "trials" not in found or table is None:
            return
        y = np.asarray(self._values(table), float)
        self._refuse_rows(
            found["trials"] < y,
            "has more successes than trials",
            "The order is `p(successes, trials)`.",
        )

    def _refuse_rows(self, wrong: np.ndarray, what: str, hint: str) -> None:
        rows = np.flatnonzero(wrong)
        if rows.size:
            raise ValueError(
                f"The outcome `{self._component.name}` {what} in row {rows[0]} ({rows.size} "
                f"such rows). {hint}".rstrip()
            )


def _name(family: Family) -> str:
    name = getattr(family.link, "__name__", "")
    return name if name in ("binomial_link", "beta_binomial_link") else ""


def _arguments(word: str, call: Any) -> dict[str, Any]:
    """The other arguments of a wrapper of the outcome, by the argument names of links."""
    names = {
        "censored": ("lower", "upper"),
        "truncated": ("low", "high"),
        "weighted": ("weights",),
        "c": (),
    }.get(word, ("trials",))
    given = dict(zip(names, call.args[1:], strict=False)) | dict(call.kwargs)
    unknown = [name for name in given if name not in names]
    if (
        unknown
        or (names and not given)
        or (word != "c" and len(call.args) > 1 + len(names))
    ):
        asked = ", ".join(f"{name}=..." for name in names)
        raise ValueError(f"`{call}` must be `{word}(y, {asked})`.")
    return given
