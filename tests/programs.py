"""The programs that XLA makes."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

_COMPILED = "/jax/core/compile/backend_compile_duration"


@contextmanager
def programs_made() -> Iterator[list[float]]:
    """A list that grows by an entry with each program that XLA makes, or finds in its cache."""
    found: list[float] = []

    def listen(event: str, duration: float, **more: str) -> None:
        if event == _COMPILED:
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
