"""A formula as its parts: the outcome, terms, offsets, and effects of groups."""

import difflib
import re
from typing import Any, NamedTuple

_EXAMPLE = "A formula reads like 'y ~ 1 + age + s(income) + (1 + age | store)'."


class Block(NamedTuple):
    """Effects that vary between groups: ``(1 + x | g)``.

    Args:
        text: The block as the formula has it.
        columns: What varies: formulae's intercept and terms.
        factor: The term that says the group.
        is_correlated: Whether effects of a group are correlated; not of ``(1 + x || g)``.
    """

    text: str
    columns: tuple[Any, ...]
    factor: Any
    is_correlated: bool


class Parsed(NamedTuple):
    """The parts of a formula, as the package formulae has them.

    Args:
        outcome: The expression on the left: a variable or a call.
        has_intercept: Whether the model has one.
        common: Terms that formulae codes: columns, categories, interactions.
        special: Calls that are terms of their own.
        offsets: What is within ``offset(...)``.
        blocks: Effects of groups.
    """

    outcome: Any
    has_intercept: bool
    common: tuple[Any, ...]
    special: tuple[Any, ...]
    offsets: tuple[Any, ...]
    blocks: tuple[Block, ...]


class Package(NamedTuple):
    """What is needed of the package formulae."""

    describe: Any
    Model: Any
    Term: Any
    Intercept: Any
    Environment: Any
    functions: dict[str, Any]


def formulae() -> Package:
    """The package formulae.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        from formulae.categorical import ENCODINGS
        from formulae.environment import Environment
        from formulae.model_description import model_description
        from formulae.terms.terms import Intercept, Model, Term
        from formulae.transforms import TRANSFORMS
    except ImportError as error:
        raise ImportError(
            "Formulas need the package formulae: pip install 'numpyro-bayeslayers[formula]'."
        ) from error
    functions = {**TRANSFORMS, **ENCODINGS}
    return Package(model_description, Model, Term, Intercept, Environment, functions)


def parse(text: str, terms: list[str]) -> Parsed:
    """The parts of `text`, in which calls of `terms` are terms of their own.

    Raises:
        ImportError: If formulae is not installed.
        TypeError: If `text` is not a string.
        ValueError: If it cannot be read.
    """
    if not isinstance(text, str):
        raise TypeError(f"`text` must be a formula in a string, got {text!r}. {_EXAMPLE}")
    if "~" not in text:
        raise ValueError(
            f"`text` must have an outcome, got {text!r} without a tilde. {_EXAMPLE}"
        )
    whole = _described(text, re.sub(r"\|\|", "|", text))
    if whole.response is None:
        raise ValueError(f"`text` must have an outcome before the tilde, got {text!r}.")
    package = formulae()
    common, special, offsets, has_intercept = [], [], [], False
    for term in whole.common_terms:
        if not isinstance(term, package.Term):
            has_intercept |= isinstance(term, package.Intercept)
            continue
        calls = [c for c in term.components if _callee(c) in (*terms, "offset")]
        if not calls:
            common.append(term)
        elif len(term.components) > 1:
            raise ValueError(
                f"The term `{term.name}` cannot be: `{calls[0].name}` has no interactions. Add it "
                "as a term of its own."
            )
        else:
            (special if _callee(calls[0]) != "offset" else offsets).append(calls[0].call)
    blocks = tuple(b for part in _blocks_in(text) for b in _block(text, part, terms))
    if len(blocks) < len(whole.group_terms) and not blocks:
        raise ValueError(
            f"Effects of groups in {text!r} must be within parentheses: `(1 | store)`."
        )
    outcome = whole.response.term.components[0]
    return Parsed(
        outcome, has_intercept, tuple(common), tuple(special), tuple(offsets), blocks
    )


def parse_parameter(name: str, text: Any, terms: list[str]) -> Parsed:
    """The formula of a parameter of the likelihood, ``"~ x"`` or ``"sigma ~ x"``.

    Raises:
        TypeError: If it is not a string.
        ValueError: If it cannot be read, or has another name on its left.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"`parameters[{name!r}]` must be a formula such as '~ x', got {text!r}."
        )
    left, tilde, right = text.partition("~")
    if not tilde or left.strip() not in ("", name):
        raise ValueError(
            f"`parameters[{name!r}]` must be a formula such as '~ x' or '{name} ~ x', got {text!r}."
        )
    return parse(f"{name} ~ {right}", terms)


def weighted_outcome(text: Any, weights: Any) -> Any:
    """The formula whose rows count as often as an expression of columns says.

    Raises:
        TypeError: If `weights` is not a string.
    """
    if weights is None or not isinstance(text, str) or "~" not in text:
        return text
    if not isinstance(weights, str):
        raise TypeError(
            "`weights` must be the name of a column, or an expression of columns, got "
            f"{type(weights).__name__}. Put the weights into `data`."
        )
    left, _, right = text.partition("~")
    return f"weighted({left.strip()}, {weights}) ~ {right}"


def _described(text: str, part: str) -> Any:
    """What formulae reads in a part of the text."""
    package = formulae()
    try:
        return package.describe(part)
    except Exception as error:
        raise ValueError(
            f"`text` cannot be read, {text!r}: {type(error).__name__}: {error} {_EXAMPLE}"
        ) from error


def _callee(component: Any) -> str | None:
    call = getattr(component, "call", None)
    return None if call is None else call.callee


def _blocks_in(text: str) -> list[str]:
    """The parentheses that hold a bar of their own, outermost first."""
    found, depth, start, has_bar, quote = [], 0, 0, False, ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"`":
            quote = letter
        elif letter == "(":
            depth += 1
            if depth == 1:
                start, has_bar = at, False
        elif letter == ")":
            depth -= 1
            if depth == 0 and has_bar:
                found.append(text[start : at + 1])
                if text[:start].rstrip().endswith("-"):
                    raise ValueError(f"`{found[-1]}` cannot be taken away. Leave it out.")
        elif letter == "|" and depth == 1:
            has_bar = True
    return found


def _block(text: str, part: str, terms: list[str]) -> list[Block]:
    """The effects in a pair of parentheses, one block for each factor."""
    is_correlated = "||" not in part
    terms_of = _described(text, "y ~ 0 + " + part.replace("||", "|")).group_terms
    by_factor: dict[str, list[Any]] = {}
    for term in terms_of:
        by_factor.setdefault(term.factor.name, []).append(term)
        for component in getattr(term.expr, "components", ()):
            if _callee(component) in (*terms, "offset"):
                raise ValueError(
                    f"`{component.name}` in `{part}` cannot vary between groups: only columns can."
                )
    return [
        Block(part, tuple(t.expr for t in group), group[0].factor, is_correlated)
        for group in by_factor.values()
    ]


def check_names(
    parsed: Parsed, columns: list[str], namespace: dict[str, Any], terms: list[str]
) -> None:
    """All columns and functions in a formula are known.

    Raises:
        ValueError: If one is not, with the nearest that is.
    """
    parts = [(parsed.outcome, parsed.outcome.name)]
    parts += [(c, t.name) for t in parsed.common for c in t.components]
    parts += [(call, str(call)) for call in (*parsed.special, *parsed.offsets)]
    for block in parsed.blocks:
        inside = (*block.columns, block.factor)
        parts += [(c, block.text) for t in inside for c in getattr(t, "components", ())]
    for component, name in parts:
        _check(component, name, columns, namespace, terms)


def _check(
    part: Any, term: str, columns: list[str], namespace: dict[str, Any], terms: list[str]
) -> None:
    part = getattr(part, "call", part)
    if hasattr(part, "callee"):
        _check_function(part.callee, term, namespace, terms)
        for inner in (*part.args, *part.kwargs.values()):
            _check(inner, term, columns, namespace, terms)
    elif hasattr(part, "args"):
        for inner in part.args:
            _check(inner, term, columns, namespace, terms)
    elif isinstance(getattr(part, "name", None), (int, float)):
        raise ValueError(
            f"The formula adds the number {part.name}, which is no term. A known summand is "
            f"`offset({part.name})`."
        )
    elif hasattr(part, "name") and part.name not in columns and part.name not in namespace:
        raise ValueError(_unknown(part.name, term, columns))


def _check_function(
    callee: str, term: str, namespace: dict[str, Any], terms: list[str]
) -> None:
    first, *rest = callee.split(".")
    found: Any = namespace.get(first)
    for name in rest:
        found = getattr(found, name, None)
    if found is None and callee not in terms and callee != "offset":
        raise ValueError(
            f"`{callee}` in the term `{term}` is no term and no function that is known. Terms are "
            f"{', '.join(sorted(terms))}; functions of numpy are `np.log` and so on; others go "
            f"into `namespace={{{first!r}: ...}}`."
        )


def _unknown(name: str, term: str, columns: list[str]) -> str:
    close = difflib.get_close_matches(name, columns, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return (
        f"`data` has no column `{name}`, which the term `{term}` needs.{hint} It has "
        f"{', '.join(columns)}."
    )
