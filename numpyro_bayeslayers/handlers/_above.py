"""Sites that a handler adds, seen only by the handlers outside of it."""

from collections.abc import Generator
from contextlib import contextmanager

from numpyro.primitives import _PYRO_STACK, Messenger


@contextmanager
def above(handler: Messenger) -> Generator[None]:
    """Within, statements start above `handler`.

    Those below it (scopes, plates) have done their work on the message that it answers, and
    must not do it twice.
    """
    at = next(i for i, other in enumerate(_PYRO_STACK) if other is handler)
    below = _PYRO_STACK[at:]
    del _PYRO_STACK[at:]
    try:
        yield
    finally:
        _PYRO_STACK.extend(below)
