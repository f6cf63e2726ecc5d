"""Options of a method as data: numbers and strings as they are, NumPyro objects by name.

Names refer only to objects of three NumPyro modules, so reading a file cannot import or run
anything else.
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpyro.infer
import numpyro.infer.autoguide
from numpyro.contrib import einstein
from numpyro.infer.elbo import ELBO

from ..._storage import NotDataError, pack, unpack
from ..._storage._file import Arrays
from ._known_methods import METHODS

_MODULES: dict[str, types.ModuleType] = {
    module.__name__: module for module in (numpyro.infer.autoguide, numpyro.infer, einstein)
}


class NotKept(NamedTuple):
    """An option that is not stored in a file.

    Args:
        kind: The name of its type.
    """

    kind: str

    def __repr__(self) -> str:
        return f"<{self.kind}, not kept in the file>"


def described(label: str, value: Any, arrays: Arrays) -> Any:
    """An option as JSON and arrays; options that cannot be stored are named by type."""
    if isinstance(value, NotKept):
        return {"not kept": value.kind}
    try:
        return _described(label, value, arrays)
    except NotDataError as error:
        return {"not kept": error.kind}


def _described(label: str, value: Any, arrays: Arrays) -> Any:
    name = _name_of(value)
    if name is not None:
        return {"name": name}
    if isinstance(value, functools.partial):
        parts = {"args": list(value.args), "keywords": dict(value.keywords)}
        inside = {n: _each(f"{label}/{n}", part, arrays) for n, part in parts.items()}
        return {"partial": _described(label, value.func, arrays), **inside}
    known = next((n for n, kind in METHODS.items() if kind is type(value)), None)
    if known is not None:
        return {"method": known, "of": described_method(value, arrays, label)}
    if isinstance(value, Mapping):
        return {"options": _each(label, dict(value), arrays)}
    if isinstance(value, ELBO) and _name_of(type(value)) is not None:
        of = _each(label, _arguments_of(value), arrays)
        return {"objective": _name_of(type(value)), "of": of}
    return {"value": pack(label, value, arrays)}


def _each(label: str, values: Any, arrays: Arrays) -> Any:
    if isinstance(values, dict):
        return {n: _described(f"{label}/{n}", v, arrays) for n, v in values.items()}
    return [_described(f"{label}/{i}", v, arrays) for i, v in enumerate(values)]


def restored(found: Any, arrays: Arrays) -> Any:
    """The option that `described` stored; `NotKept` if it could not."""
    if "not kept" in found:
        return NotKept(found["not kept"])
    if "name" in found:
        return _named(found["name"])
    if "partial" in found:
        args = [restored(v, arrays) for v in found["args"]]
        keywords = {n: restored(v, arrays) for n, v in found["keywords"].items()}
        return functools.partial(restored(found["partial"], arrays), *args, **keywords)
    if "method" in found:
        return restored_method(METHODS[found["method"]], found["of"], arrays)
    if "options" in found:
        return {n: restored(v, arrays) for n, v in found["options"].items()}
    if "objective" in found:
        kind = _named(found["objective"])
        if not issubclass(kind, ELBO):
            raise ValueError(f"{found['objective']} is not an objective.")
        return kind(**{n: restored(v, arrays) for n, v in found["of"].items()})
    return unpack(found["value"], arrays)


def _arguments_of(value: ELBO) -> dict[str, Any]:
    """The constructor arguments of an objective, which it stores under the same names."""
    names = inspect.signature(type(value)).parameters
    if not all(hasattr(value, name) for name in names):
        raise NotDataError("loss", value)
    return {name: getattr(value, name) for name in names}


def _name_of(value: Any) -> str | None:
    """The name of a public class or function of the modules."""
    if not isinstance(value, (type, types.FunctionType)):
        return None
    for module in _MODULES.values():
        if getattr(module, value.__name__, None) is value:
            return f"{module.__name__}:{value.__name__}"
    return None


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    found = vars(_MODULES.get(module, types)).get(attribute)
    if module not in _MODULES or not isinstance(found, (type, types.FunctionType)):
        raise ValueError(f"{name!r} does not exist in the installed NumPyro.")
    return found


def described_method(method: Any, arrays: Arrays, label: str = "method") -> dict[str, Any]:
    """The options of a method by name, without fields that are not constructor arguments."""
    return {
        option.name: described(
            f"{label}/{option.name}", getattr(method, option.name), arrays
        )
        for option in dataclasses.fields(method)
        if option.init
    }


def check_kept(method: Any) -> None:
    """Check that no option of a method was left out of a file."""
    for option in dataclasses.fields(method):
        value = getattr(method, option.name)
        if type(value) in METHODS.values():
            check_kept(value)
        if isinstance(value, NotKept):
            raise ValueError(
                f"`method.{option.name}` was not stored in the file from which the method was "
                f"loaded: its type was {value.kind}. Set it again: "
                f"`dataclasses.replace(method, {option.name}=...)`."
            )


def restored_method(kind: Any, found: dict[str, Any], arrays: Arrays) -> Any:
    """A method with these options, some of which may be `NotKept`."""
    method = object.__new__(kind)
    for option in dataclasses.fields(kind):
        if not option.init:
            made = option.default_factory
            has_none = made is dataclasses.MISSING
            object.__setattr__(method, option.name, option.default if has_none else made())
    for name, option in found.items():
        object.__setattr__(method, name, restored(option, arrays))
    return method
