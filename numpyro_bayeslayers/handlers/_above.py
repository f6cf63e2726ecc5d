"""Sites added by a handler, visible only to the handlers outside it."""

from collections.abc import Generator
from contextlib import contextmanager

from numpyro.primitives import _PYRO_STACK, Messenger

from .._typing import Message


@contextmanager
def above(handler: Messenger) -> Generator[None]:
    """Context in which statements start above `handler` on the stack.

    Handlers below it (scopes, plates) have already processed the message that it answers, and
    must not process it twice.
    """
    at = next(i for i, other in enumerate(_PYRO_STACK) if other is handler)
    below = _PYRO_STACK[at:]
    del _PYRO_STACK[at:]
    try:
        yield
    finally:
        _PYRO_STACK.extend(below)


@contextmanager
def no_handlers() -> Generator[None]:
    """Context in which only handlers that are entered inside it apply."""
    handlers = _PYRO_STACK[:]
    _PYRO_STACK.clear()
    try:
        yield
    finally:
        _PYRO_STACK[:] = handlers


class as_site(Messenger):  # noqa: N801
    """Applies to a site the plates and scales of the site that it replaces."""

    def __init__(self, msg: Message) -> None:
        self.frames = list(msg["cond_indep_stack"])
        self.scale = msg["scale"]
        self.infer = dict(msg["infer"])
        super().__init__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "sample":
            msg["cond_indep_stack"] = list(self.frames)
            msg["scale"] = self.scale
            msg["infer"] = self.infer | msg["infer"]
