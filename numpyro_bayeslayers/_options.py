"""A choice among names, for whatever must do without JAX: the registry and its command."""

import difflib
from collections.abc import Iterable
from typing import Any


def one_of(name: str, value: Any, options: Iterable[Any]) -> None:
    """`value` is one of `options`; the closest one is suggested."""
    options = list(options)
    if value in options:
        return
    close = difflib.get_close_matches(str(value), [str(o) for o in options], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"`{name}` must be one of {options}, got {value!r}.{hint}")
