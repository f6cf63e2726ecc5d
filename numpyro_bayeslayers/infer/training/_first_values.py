"""Initial values of autoguides, with shorter programs.

NumPyro calls the initialization strategy twice: it uses only the shapes of the first result and
the values of the second, and both would be compiled. Here the first result is any value in the
support, and the median of a few draws is computed by sorting.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from numpyro.distributions import biject_to
from numpyro.infer import init_to_mean, init_to_median, init_to_sample

from ..._typing import Message

Start = Callable[..., Any]

# The strategies whose second result does not depend on the first.
_OF_THE_PRIOR = (init_to_median, init_to_mean, init_to_sample)


def first_values(start: Start) -> Start:
    """The same strategy for one set-up of an autoguide, with a shorter program if possible."""
    base = start.func if isinstance(start, functools.partial) else start
    return _FirstValues(start) if base in _OF_THE_PRIOR else start


class _FirstValues:
    """An initialization strategy that returns any value if only shapes are needed.

    Args:
        start: A NumPyro initialization strategy.
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
    """The same strategy, with a shorter program if possible."""
    options = start.keywords if isinstance(start, functools.partial) else {}
    base = start.func if isinstance(start, functools.partial) else start
    count = options.get("num_samples", 15)
    if base is init_to_median and options.keys() <= {"num_samples"} and count % 2:
        return functools.partial(_middle, start=start, count=count)
    return start if isinstance(start, functools.partial) else start()


def _is_started(site: Message) -> bool:
    """Whether a strategy initializes this site."""
    is_latent = site["type"] == "sample" and not site["is_observed"]
    return is_latent and site["value"] is None and not site["fn"].support.is_discrete


def _middle(site: Message, *, start: Start, count: int) -> Any:
    """The median of an odd number of draws, as in `init_to_median`."""
    if not _is_started(site):
        return start(site)
    try:
        shape = (count, *site["kwargs"].get("sample_shape", ()))
        drawn = site["fn"](sample_shape=shape, rng_key=site["kwargs"].get("rng_key"))
        transform = biject_to(site["fn"].support)
        # NaNs are sorted last, so they are the median only if most draws are NaN.
        in_order = jnp.sort(transform.inv(drawn), axis=0)
        return transform(jnp.where(jnp.isnan(in_order[-1]), jnp.nan, in_order[count // 2]))
    except NotImplementedError:  # no sampling method or no transform
        return start(site)


def _anywhere(site: Message) -> Any:
    """A value in the support with the shape of a draw."""
    transform = biject_to(site["fn"].support)
    shape = (*site["kwargs"].get("sample_shape", ()), *site["fn"].shape())
    return transform(jnp.zeros(transform.inverse_shape(shape)))
