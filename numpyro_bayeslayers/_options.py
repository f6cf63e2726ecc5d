"""The check of a choice among names, without importing JAX, for the registry and its command."""

import difflib
from collections.abc import Iterable
from typing import Any


def one_of(name: str, value: Any, options: Iterable[Any]) -> Any:
    """Return the option equal to `value`, or raise an error that suggests the closest one."""
    options = list(options)
    for option in options:
        # True is not 1.
        if value == option and isinstance(value, bool) == isinstance(option, bool):
            return option
    raise refusal(name, value, options)


def refusal(name: str, value: Any, options: list[Any]) -> ValueError:
    """The error for a `value` that is not one of `options`."""
    close = difflib.get_close_matches(str(value), [str(o) for o in options], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"`{name}` must be one of {options}, got {value!r}.{hint}")
