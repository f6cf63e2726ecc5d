"""Registry of installed objects by name, for this package and plugins alike.

A package registers objects in a room (a top-level subpackage) by entry points in its
`pyproject.toml`::

    [project.entry-points."numpyro_bayeslayers.layers"]
    LaplaceLinear = "acme_layers:LaplaceLinear"

`available` and `providers` read this metadata without imports; `get` imports only the requested
object. A plugin that cannot be imported is reported and does not affect others. If two packages
register the same name, choose one by its qualified name, ``"acme-layers:LaplaceLinear"``; the
plain name raises an error, also for names of this package.
"""

import difflib
import re
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import invalidate_caches, metadata
from typing import Any, NamedTuple

from ._options import one_of

__all__ = ["ROOMS", "PluginError", "Provider", "available", "get", "providers", "refresh"]

#: The rooms that can be added to; each has the entry-point group ``numpyro_bayeslayers.<room>``.
ROOMS = ("layers", "handlers", "distributions", "formula_terms")

_HOME = "numpyro-bayeslayers"


class PluginError(ImportError):
    """An installed object that cannot be used; the cause is chained."""


class Provider(NamedTuple):
    """A name in a room, and the package that provides it.

    `status` is ``"installed"`` before a check, ``"clash"`` if another package also provides the
    name, and ``"ok"`` or ``"broken"`` after a check; `error` gives the reason.
    """

    room: str
    name: str
    package: str
    version: str
    target: str
    requires: str = ""
    status: str = "installed"
    error: str = ""

    @property
    def qualified(self) -> str:
        """The name qualified by its package, which is always unique."""
        return f"{self.package}:{self.name}"

    @property
    def release(self) -> str:
        """The package and its version, for messages."""
        return f"{self.package} {self.version}"


def available(room: str) -> list[str]:
    """Sorted names that `get` accepts in `room`; nothing is imported.

    Raises:
        ValueError: If there is no such room.
        RuntimeError: If this package runs from a checkout that is not installed.

    Example:
        >>> "Normal" in available("layers")
        False
    """
    return sorted({provider.name for provider in _installed(room)})


def get(room: str, name: str) -> Any:
    """Import and return the object called `name` in `room`.

    Args:
        room: ``"layers"``, ``"handlers"``, ``"distributions"`` or ``"formula_terms"``.
        name: A name of `available`, or ``"package:name"`` if several packages provide it.

    Raises:
        ValueError: If the room or the name is unknown (close matches are suggested), or if
            several packages provide the name (all are named).
        PluginError: If the object cannot be imported, or has the wrong type for the room.
        RuntimeError: If this package runs from a checkout that is not installed.

    Example:
        >>> get("layers", "acme:Wide")
        Traceback (most recent call last):
        ValueError: No layer is called 'acme:Wide'. ...
    """
    package, _, bare = name.rpartition(":")
    found = [p for p in _installed(room) if p.name == bare]
    if package:
        found = [p for p in found if p.package == _normal(package)]
    if not found:
        raise ValueError(_unknown(room, name))
    if len(found) > 1:
        raise ValueError(_clash(found))
    return _load(found[0])


def providers(room: str, *, check: bool = False) -> list[Provider]:
    """All objects installed in `room`: one row for each package and name, sorted by name.

    Args:
        room: ``"layers"``, ``"handlers"``, ``"distributions"`` or ``"formula_terms"``.
        check: Whether to import every object to check that it works. If False, nothing is imported.

    Raises:
        ValueError: If there is no such room.
        RuntimeError: If this package runs from a checkout that is not installed.

    Example:
        >>> [row.error for row in providers("handlers") if row.package == "no-such-package"]
        []
    """
    rows = _installed(room)
    return [_with_status(row, rows, check) for row in rows]


def refresh() -> None:
    """Read the installed packages again, to find those installed after the first read.

    Example:
        >>> refresh()
    """
    invalidate_caches()
    _installed.cache_clear()


@cache
def _installed(room: str) -> tuple[Provider, ...]:
    """The rows of `room` from the metadata, one for each package and name."""
    one_of("room", room, ROOMS)
    try:
        metadata.distribution(_HOME)
    except metadata.PackageNotFoundError:
        raise RuntimeError(
            f"{_HOME} is not installed, so nothing is registered: install it, from a checkout "
            "by `pip install -e .`, and call `numpyro_bayeslayers.registry.refresh()`."
        ) from None
    rows: dict[tuple[str, str], Provider] = {}
    for installed in metadata.distributions():
        for point in _points(installed, f"numpyro_bayeslayers.{room}"):
            package, version, requires = _origin(installed)
            row = Provider(room, point.name, package, version, point.value, requires)
            rows.setdefault((row.package, row.name), row)  # the first on `sys.path` wins
    return tuple(sorted(rows.values()))


def _points(
    package: metadata.Distribution, group: str
) -> tuple[metadata.EntryPoint, ...] | metadata.EntryPoints:
    """The entry points of a package; none, with a warning, if they cannot be read."""
    try:
        return package.entry_points.select(group=group)
    except Exception as error:  # a damaged package must not hide the others
        warnings.warn(
            f"The entry_points.txt of {_origin(package)[0]} cannot be read "
            f"({_told(error)}): its objects are ignored. Reinstall or uninstall it.",
            stacklevel=4,
        )
        return ()


def _told(error: BaseException) -> str:
    """The type of an error and its text, or a note that it cannot be printed."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # a plugin's own class of errors
        return f"{type(error).__name__}, whose text cannot be printed"


def _origin(package: metadata.Distribution | None) -> tuple[str, str, str]:
    """Name and version of a package, and its requirement on this one, if in its metadata."""
    try:
        fields = package.metadata  # type: ignore
        needs = filter(_is_on_us, fields.get_all("Requires-Dist") or [])
        return _normal(fields["Name"]), str(fields["Version"]), ", ".join(needs)
    except Exception:  # a damaged package must not hide the others
        return "unknown-package", "unknown", ""


def _normal(package: str) -> str:
    """The name of a package, normalized as in PEP 503."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _is_on_us(requirement: str) -> bool:
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    return _normal(name) == _HOME and "extra ==" not in requirement


def _with_status(row: Provider, rows: Sequence[Provider], check: bool) -> Provider:
    if check:
        try:
            _load(row)
            row = row._replace(status="ok")
        except PluginError as error:
            return row._replace(status="broken", error=str(error))
    rivals = [other for other in rows if other.name == row.name]
    return row._replace(status="clash", error=_clash(rivals)) if len(rivals) > 1 else row


def _load(row: Provider) -> Any:
    """Import the object of `row` and check that it has the right type for its room."""
    try:
        found = metadata.EntryPoint(row.name, row.target, row.room).load()
        _require_kind(row.room, found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin does when it is imported
        needs = f"; it requires {row.requires}" if row.requires else ""
        raise PluginError(
            f"The {_one(row.room)} {row.name!r} ({row.target}) of {row.release} cannot be "
            f"used{needs}: {_told(error)}. Update or uninstall {row.package}."
        ) from error
    return found


def _require_kind(room: str, found: Any) -> None:
    """Check the minimal requirements for a member of `room`; see `testing` for the full ones."""
    if room == "layers":
        from equinox import Module

        fits = _is_subclass(found, Module)
        fits = fits and any("__call__" in vars(kind) for kind in found.__mro__)
        wanted = "a class derived from equinox.Module that defines `__call__`"
    elif room == "distributions":
        from numpyro.distributions import Distribution

        fits = _is_subclass(found, Distribution)
        wanted = "a class derived from numpyro.distributions.Distribution"
    elif room == "formula_terms":
        fits = callable(found)
        wanted = "callable with a term, its columns and its settings"
    else:
        fits, wanted = callable(found), "callable with a model: a Messenger or a function"
    if not fits:
        raise TypeError(f"The {_one(room)} must be {wanted}, got {found!r}")


def _is_subclass(found: Any, kind: type) -> bool:
    return isinstance(found, type) and issubclass(found, kind)


def _one(room: str) -> str:
    """The word for one member of `room`."""
    return room.removesuffix("s").replace("_", " ")


def _clash(rivals: Sequence[Provider]) -> str:
    releases = " and ".join(row.release for row in rivals)
    choices = " or ".join(repr(row.qualified) for row in rivals)
    return (
        f"The {_one(rivals[0].room)} {rivals[0].name!r} is provided by {releases}. Choose "
        f"with {choices}, or uninstall one of them."
    )


def _unknown(room: str, name: str) -> str:
    rows = _installed(room)
    known = {(row.qualified if ":" in name else row.name) for row in rows}
    by_lower = {option.lower(): option for option in sorted(known)}
    close = [by_lower[c] for c in difflib.get_close_matches(name.lower(), by_lower, n=3)]
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    return (
        f"No {_one(room)} is called {name!r}. {hint}All names: "
        f"`numpyro_bayeslayers.registry.available({room!r})`."
    )
