"""Parse a formula into the outcome, terms, offsets and group effects."""

import difflib
import re
from typing import Any, NamedTuple

_EXAMPLE = "An example of a formula: 'y ~ 1 + age + s(income) + (1 + age | store)'."


class Block(NamedTuple):
    """Effects that vary between groups: ``(1 + x | g)``.

    Args:
        text: The block as written in the formula.
        columns: The varying effects: formulae's intercept and terms.
        factor: The grouping term.
        is_correlated: Whether the effects of a group are correlated; False for ``(1 + x ||
            g)``.
    """

    text: str
    columns: tuple[Any, ...]
    factor: Any
    is_correlated: bool


class Parsed(NamedTuple):
    """The parts of a formula, as parsed by formulae.

    Args:
        outcome: The expression on the left: a variable or a call.
        has_intercept: Whether the model has an intercept.
        common: Terms that formulae codes: columns, categories, interactions.
        special: Calls that are registered layer terms.
        offsets: The expressions inside ``offset(...)``.
        blocks: Group effects.
    """

    outcome: Any
    has_intercept: bool
    common: tuple[Any, ...]
    special: tuple[Any, ...]
    offsets: tuple[Any, ...]
    blocks: tuple[Block, ...]


class Package(NamedTuple):
    """The parts of the package formulae that are used."""

    describe: Any
    Model: Any
    Term: Any
    Intercept: Any
    Environment: Any
    functions: dict[str, Any]


def formulae() -> Package:
    """Import the package formulae.

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
    """The parts of `text`; calls of functions in `terms` are layer terms.

    Raises:
        ImportError: If formulae is not installed.
        TypeError: If `text` is not a string.
        ValueError: If it cannot be parsed.
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
                f"The term `{term.name}` is not possible: `{calls[0].name}` cannot be part of "
                "an interaction. Add it as a separate term."
            )
        else:
            (special if _callee(calls[0]) != "offset" else offsets).append(calls[0].call)
    blocks = tuple(b for part in _blocks_in(text) for b in _block(text, part, terms))
    if len(blocks) < len(whole.group_terms) and not blocks:
        raise ValueError(
            f"Group effects in {text!r} must be in parentheses: `(1 | store)`."
        )
    outcome = whole.response.term.components[0]
    return Parsed(
        outcome, has_intercept, tuple(common), tuple(special), tuple(offsets), blocks
    )


def parse_parameter(name: str, text: Any, terms: list[str]) -> Parsed:
    """Parse the formula of a parameter of the likelihood, ``"~ x"`` or ``"sigma ~ x"``.

    Raises:
        TypeError: If it is not a string.
        ValueError: If it cannot be parsed, or its left-hand side is another name.
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
    """The formula with an expression of columns as frequency weights of its rows.

    Raises:
        TypeError: If `weights` is not a string.
    """
    if weights is None or not isinstance(text, str) or "~" not in text:
        return text
    if not isinstance(weights, str):
        raise TypeError(
            "`weights` must be a column name or an expression of columns, got "
            f"{type(weights).__name__}. Add the weights to `data` as a column."
        )
    left, _, right = text.partition("~")
    return f"weighted({left.strip()}, {weights}) ~ {right}"


def _described(text: str, part: str) -> Any:
    """A part of the text, parsed by formulae."""
    package = formulae()
    try:
        return package.describe(part)
    except Exception as error:
        raise ValueError(
            f"`text` cannot be parsed, {text!r}: {type(error).__name__}: {error} {_EXAMPLE}"
        ) from error


def _callee(component: Any) -> str | None:
    call = getattr(component, "call", None)
    return None if call is None else call.callee


def _blocks_in(text: str) -> list[str]:
    """The parenthesized parts with their own bar, outermost first."""
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
                    raise ValueError(f"`{found[-1]}` cannot be subtracted. Leave it out.")
        elif letter == "|" and depth == 1:
            has_bar = True
    return found


def _block(text: str, part: str, terms: list[str]) -> list[Block]:
    """The group effects in a pair of parentheses, one block for each factor."""
    is_correlated = "||" not in part
    terms_of = _described(text, "y ~ 0 + " + part.replace("||", "|")).group_terms
    by_factor: dict[str, list[Any]] = {}
    for term in terms_of:
        by_factor.setdefault(term.factor.name, []).append(term)
        for component in getattr(term.expr, "components", ()):
            if _callee(component) in (*terms, "offset"):
                raise ValueError(
                    f"`{component.name}` in `{part}` cannot vary between groups: only column "
                    "terms can."
                )
    return [
        Block(part, tuple(t.expr for t in group), group[0].factor, is_correlated)
        for group in by_factor.values()
    ]


def check_names(
    parsed: Parsed, columns: list[str], namespace: dict[str, Any], terms: list[str]
) -> None:
    """Check that all columns and functions in a formula are known.

    Raises:
        ValueError: If one is not; the error suggests the closest known name.
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
            f"The formula adds the number {part.name}, which is not a term. Write a known "
            f"summand as `offset({part.name})`."
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
            f"`{callee}` in the term `{term}` is not a known term or function. Terms are "
            f"{', '.join(sorted(terms))}; NumPy's functions are written `np.log` and so on; "
            f"pass others by `namespace={{{first!r}: ...}}`."
        )


def _unknown(name: str, term: str, columns: list[str]) -> str:
    close = difflib.get_close_matches(name, columns, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return (
        f"`data` has no column `{name}`, which the term `{term}` needs.{hint} Its columns are "
        f"{', '.join(columns)}."
    )
