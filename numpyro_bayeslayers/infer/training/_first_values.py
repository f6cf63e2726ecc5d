"""The start of an autoguide, in a program as short as its numbers allow.

NumPyro asks for a start twice. From the first answer it takes the shapes of sites alone, and
from the second one the values; both would be compiled. Here the first answer is any value in
the support, and the median of a few draws is the middle one of them in order.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from numpyro.distributions import biject_to
from numpyro.infer import init_to_mean, init_to_median, init_to_sample

from ..._typing import Message

Start = Callable[..., Any]

# The starts whose second answer does not look at the first one.
_OF_THE_PRIOR = (init_to_median, init_to_mean, init_to_sample)


def first_values(start: Start) -> Start:
    """The same start for one set-up of an autoguide, as a shorter program if there is one."""
    base = start.func if isinstance(start, functools.partial) else start
    return _FirstValues(start) if base in _OF_THE_PRIOR else start


class _FirstValues:
    """A start of an autoguide that is any value where only shapes are asked for.

    Args:
        start: A function of NumPyro that gives the first value of a site.
    """

    def __init__(self, start: Start) -> None:
        self._start = _short(start)
        self._seen: set[str] = set()

    def __call__(self, site: Message | None = None) -> Any:
        if site is None:
            return functools.partial(self)
        if not _is_started(site) or site["name"] in self._seen:
            return self._start(site)
        self._seen.add(site["name"])
        return _anywhere(site)


def _short(start: Start) -> Start:
    """The same start, as a shorter program if there is one."""
    options = start.keywords if isinstance(start, functools.partial) else {}
    base = start.func if isinstance(start, functools.partial) else start
    count = options.get("num_samples", 15)
    if base is init_to_median and options.keys() <= {"num_samples"} and count % 2:
        return functools.partial(_middle, start=start, count=count)
    return start if isinstance(start, functools.partial) else start()


def _is_started(site: Message) -> bool:
    """Whether a start gives this site a value."""
    is_latent = site["type"] == "sample" and not site["is_observed"]
    return is_latent and site["value"] is None and not site["fn"].support.is_discrete


def _middle(site: Message, *, start: Start, count: int) -> Any:
    """The median of an odd number of draws, as `init_to_median` gives it."""
    if not _is_started(site):
        return start(site)
    try:
        shape = (count, *site["kwargs"].get("sample_shape", ()))
        drawn = site["fn"](sample_shape=shape, rng_key=site["kwargs"].get("rng_key"))
        transform = biject_to(site["fn"].support)
        # Those that are not a number come last, and are the median of none but themselves.
        in_order = jnp.sort(transform.inv(drawn), axis=0)
        return transform(jnp.where(jnp.isnan(in_order[-1]), jnp.nan, in_order[count // 2]))
    except NotImplementedError:  # it cannot be drawn, or has no transform
        return start(site)


def _anywhere(site: Message) -> Any:
    """A value in the support, of the shape that a draw would have."""
    transform = biject_to(site["fn"].support)
    shape = (*site["kwargs"].get("sample_shape", ()), *site["fn"].shape())
    return transform(jnp.zeros(transform.inverse_shape(shape)))
