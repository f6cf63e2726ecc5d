"""Run laws and report the results."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree


class LawReport(NamedTuple):
    """The result of a check: laws that hold, excused laws with reasons, and violated laws."""

    kept: tuple[str, ...]
    excused: dict[str, str]
    broken: dict[str, str]

    def __str__(self) -> str:
        lines = [f"keeps {', '.join(self.kept) or 'no law'}"]
        lines += [f"is excused from {law}: {why}" for law, why in self.excused.items()]
        lines += [f"BREAKS {law}: {how}" for law, how in self.broken.items()]
        return "\n".join(lines)


def laws_in(namespace: Mapping[str, Any]) -> dict[str, Callable[[Any], None]]:
    """The functions ``law_*`` of a module, by their names without the prefix."""
    return {
        name.removeprefix("law_"): law
        for name, law in namespace.items()
        if name.startswith("law_")
    }


def run_laws(
    laws: Mapping[str, Callable[[Any], None]],
    trial: Any,
    subject: str,
    except_for: Mapping[str, str] | None,
) -> LawReport:
    """Run every law that is not excused; raise an error with the report if one is violated."""
    excused = dict(except_for or {})
    unknown = sorted(set(excused) - set(laws))
    if unknown:
        raise ValueError(f"`except_for` names {unknown}; the laws are {sorted(laws)}.")
    kept, broken = [], {}
    for name, law in laws.items():
        if name in excused:
            continue
        try:
            law(trial)
        except Exception as error:  # any exception counts as a violation
            why = str(law.__doc__).rstrip(".")
            broken[name] = f"{why} ({type(error).__name__}: {str(error).strip()})"
        else:
            kept.append(name)
    report = LawReport(tuple(kept), excused, broken)
    if broken:
        raise AssertionError(f"{subject}\n{report}")
    return report


def close(found: PyTree, expected: PyTree, what: str) -> None:
    """Assert that all leaves agree to float32 accuracy."""
    assert jax.tree.structure(found) == jax.tree.structure(expected), what
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5, err_msg=what)
