"""Descriptions of runs, and the differences between two of them.

Parameters are only numbers: they do not identify the model, guide, optimizer or data that they
belong to. A description is stored with the state of a run, also in checkpoints, and is compared
field by field wherever the state is used, so that errors name the differences.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpyro.distributions as dist
from jaxtyping import PyTree
from numpyro.infer.autoguide import AutoGuide

from ..._typing import Message
from ..compilation._fingerprint import digest, kind_of, name_of, settings_of
from ..compilation._jit import is_dynamic
from ..rows._arguments import Arguments

#: The fields that must agree to use parameters, to continue a run, and to resume the same run.
TO_READ = ("sites", "guide", "parameters")
TO_GO_ON = (*TO_READ, "members", "priors", "optimizer", "loss", "data")
TO_REPEAT = (*TO_GO_ON, "start", "model")
_START = ("init_loc_fn", "init_scale")


@jax.tree_util.register_static
class Description:
    """The description of a run: texts by name, in fields that are compared one by one.

    It is a pytree without leaves, so it stays with a state in `jax.tree.map`.

    Args:
        fields: For example ``{"optimizer": {"step_size": "0.1"}}``. A missing field is unknown
            and not compared.
    """

    def __init__(self, fields: Mapping[str, Mapping[str, str]]) -> None:
        self.fields = {name: dict(texts) for name, texts in fields.items()}
        self._key = tuple((name, tuple(t.items())) for name, t in self.fields.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Description) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Description({', '.join(self.fields)})"

    def with_data(self, data: Mapping[str, str] | None) -> "Description":
        """The same description with this data; None if the data are unknown."""
        others = {name: t for name, t in self.fields.items() if name != "data"}
        return Description(others if data is None else {**others, "data": data})


class Difference(NamedTuple):
    """A differing entry of a field: the text there and the text here."""

    field: str
    name: str
    there: str | None
    here: str | None

    def __str__(self) -> str:
        if self.field == "data":
            return f"data: {self._of_data()}"
        label = self._label()
        if self.there is None:
            return f"{self.field}: {label}{self.here} is here only"
        if self.here is None:
            return f"{self.field}: {label}{self.there} is not here"
        if label.startswith("`code`"):
            return f"{self.field}: other code"
        return f"{self.field}: {label}{self.there}, here {self.here}"

    def _label(self) -> str:
        """The name of the entry, or the last part of a path."""
        name = self.name
        if self.field not in ("sites", "priors", "parameters"):
            name = next((p for p in reversed(name.split(".")) if not p.isdigit()), "")
        return f"`{name}` " if name not in ("", "kind", "value") else ""

    def _of_data(self) -> str:
        if self.there is None or self.here is None:
            where = "here only" if self.there is None else "not here"
            return f"`{self.name}` is {where}"
        (there, _), (here, _) = (t.rsplit(" ", 1) for t in (self.there, self.here))
        if there == here:
            return f"other values in `{self.name}`"
        return f"`{self.name}` is {there}, here {here}"


def differences(
    there: Description, here: Description, about: tuple[str, ...]
) -> list[Difference]:
    """The differing entries of the fields that both have."""
    found = []
    for field in about:
        if field not in there.fields or field not in here.fields:
            continue
        if field == "parameters" and found:
            continue  # they follow from the model and the guide
        a, b = there.fields[field], here.fields[field]
        differ = [n for n in dict.fromkeys([*a, *b]) if a.get(n) != b.get(n)]
        both = [n for n in differ if n in a and n in b]
        found += [Difference(field, n, a.get(n), b.get(n)) for n in both or differ]
    return found


def spelled(found: list[Difference], most: int = 3) -> str:
    """A few differences in one line."""
    texts = list(dict.fromkeys(map(str, found)))
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def guide_texts(guide: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The class and settings of a guide, and separately its settings for initial values."""
    if not isinstance(guide, AutoGuide):
        return {"kind": name_of(guide)}, {}
    start, settings = {}, {"kind": name_of(type(guide))}
    for name, value in _settings_of_guide(guide):
        is_start = name.lstrip("_") in _START
        (start if is_start else settings).update(
            (name if path in ("value", "kind") else f"{name}.{path}", text)
            for path, text in settings_of(value).items()
        )
    return settings, start


def _settings_of_guide(guide: AutoGuide) -> Iterator[tuple[str, Any]]:
    """The arguments of its constructor, without what the guide found when it was set up."""
    kinds = [kind for kind in type(guide).__mro__ if "__init__" in vars(kind)]
    names = {n for kind in kinds for n in inspect.signature(kind.__init__).parameters}
    for name, value in vars(guide).items():
        if name == "_guides":
            for part in value:
                yield "part", type(part)
                yield from _settings_of_guide(part) if isinstance(part, AutoGuide) else ()
        elif name != "model" and (name in names or name[1:] in names):
            yield name, value


def site_text(site: Message) -> str | None:
    """The description of a site; None for a site that is not part of the model's identity."""
    if site["type"] == "sample":
        # The shape of an observed site is that of the data.
        return "observed" if site["is_observed"] else f"latent {kind_of(site['value'])}"
    if site["type"] in ("param", "mutable"):
        leaves = jax.tree.leaves(site["value"])
        return (
            f"{site['type']} {', '.join(kind_of(x) for x in leaves if hasattr(x, 'dtype'))}"
        )
    return None


def law_text(fn: Any) -> str:
    """A distribution with its parameters that are constants of the model."""
    while isinstance(
        fn, (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)
    ):
        fn = fn.base_dist
    values = {n: getattr(fn, n, None) for n in type(fn).arg_constraints}
    known = [f"{n}={x:g}" for n, x in values.items() if isinstance(x, (int, float))]
    return f"{type(fn).__name__}({', '.join(known)})"


def shapes_text(tree: PyTree) -> dict[str, str]:
    """Types and shapes by name."""
    pairs = jax.tree_util.tree_leaves_with_path(tree)
    return {_title(path): kind_of(leaf) for path, leaf in pairs if hasattr(leaf, "dtype")}


def _title(path: Any) -> str:
    first, *rest = path
    return f"{getattr(first, 'key', first)}{jax.tree_util.keystr(tuple(rest))}"


def data_texts(parts: Arguments) -> dict[str, str]:
    """Types, shapes and hashes of the values of all arguments, in order."""
    arrays = [s if r is None else r for r, s in zip(parts.rows, parts.shared, strict=True)]
    tree = parts.frame.fill(arrays)
    found = {}
    for (which, key, *rest), leaf in jax.tree_util.tree_leaves_with_path(tree):
        title = key.key if which.idx else f"argument {key.idx}"
        title += jax.tree_util.keystr(tuple(rest))
        text = f"{kind_of(leaf)} {digest(leaf)}" if is_dynamic(leaf) else _constant(leaf)
        found[title] = text
    return found


def _constant(value: Any) -> str:
    plain = isinstance(value, (bool, int, float, complex, str))
    return f"{value!r} ." if plain else f"{name_of(value)} ."
