"""Check the data against the model before anything is compiled.

Layers check values (whether inputs are inside the domain, whether categories exist) by
`primitives.when_known`, and observations must be in the support of their likelihood. Inside a
compiled program there are no concrete values. Here the model is traced once, and the values
that depend only on the data are computed, one operation at a time. Values that depend on a draw
or a parameter are unknown before the model runs and are not checked.
"""

import itertools
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from jax.extend.core import get_opaque_trace_state
from numpyro.handlers import seed
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...distributions import _support
from ...handlers._feasible import feasible
from ..compilation._recent import Recent, shapes_of
from ._arguments import Arguments, put_together
from ._determined import as_unknown, inputs_of, part_of
from ._plates import on_all_rows


class Look:
    """Checks data against a model, which is traced once per shape of the data.

    Args:
        model: Any function of the data that may call layers; None for a potential function, for
            which nothing is checked.
        leading: Returns the arguments of the model before its data, a tuple with arrays as
            shapes.
        before: The checks of the same data before the fit, which are not repeated, if the model
            contains the result of a fit.
    """

    def __init__(
        self,
        model: Model | None,
        leading: Callable[[], Any] = lambda: (),
        *,
        before: "Look | None" = None,
    ) -> None:
        self.model = model
        self._leading = leading
        self._before = before
        self._seen: Recent[_Seen] = Recent()

    @property
    def is_open(self) -> bool:
        """Whether a layer has a check that needs the result of a fit."""
        return any(seen.is_open for seen in self._seen)

    def kept(self, parts: Arguments) -> tuple[str, ...]:
        """The names of the model's mutable sites (`numpyro.mutable`)."""
        seen = self._see(parts, _arrays_of(parts))
        return () if seen is None else seen.kept

    def at_layers(self, parts: Arguments) -> None:
        """Run the checks of layers on these arguments.

        Raises:
            ValueError: If a check of a layer fails; some checks only warn.
        """
        arrays = _arrays_of(parts)
        if (seen := self._see(parts, arrays)) is not None:
            before = None if self._before is None else self._before._see(parts, arrays)
            seen.layers.look(arrays, () if before is None else before.layers.numbers)

    def at_observations(self, parts: Arguments) -> None:
        """Check the observations.

        Raises:
            ValueError: If an observation is outside the support of its likelihood, or a
                weight is negative.
        """
        arrays = _arrays_of(parts)
        if (seen := self._see(parts, arrays)) is not None:
            seen.observations.look(arrays)

    def _see(self, parts: Arguments, arrays: list[Any]) -> "_Seen | None":
        own = self.model
        if own is None or not _support.is_known(arrays):
            return None

        def trace() -> _Seen:
            model = on_all_rows(own, parts.num_rows)
            is_fitted = self._before is not None
            return _traced(model, self._leading(), parts, is_fitted)

        return self._seen.get((parts.frame, shapes_of(arrays)), trace)


def _arrays_of(parts: Arguments) -> list[Any]:
    return [x for x in [*parts.rows, *parts.shared] if x is not None]


class _Questions(NamedTuple):
    """Checks, as functions of values, and the values computed from the data.

    Args:
        checks: The check functions.
        counts: The number of values that each of them takes.
        values: The values of all checks, concatenated.
        numbers: The indices of these checks among all checks of the model.
    """

    checks: list[Callable[..., None]]
    counts: list[int]
    values: Callable[..., list[Any]]
    numbers: list[int]

    def look(self, arrays: list[Any], answered: Collection[int] = ()) -> None:
        """Run all checks except those in `answered`."""
        if not set(self.numbers) - set(answered):
            return
        values = iter(self.values(*arrays))
        for check, count, number in zip(
            self.checks, self.counts, self.numbers, strict=True
        ):
            own = [np.asarray(next(values)) for _ in range(count)]
            if number not in answered:
                check(*own)


class _Seen(NamedTuple):
    layers: _Questions
    observations: _Questions
    is_open: bool
    kept: tuple[str, ...] = ()


_NOTHING = _Seen(_Questions([], [], list, []), _Questions([], [], list, []), False)


class _noting(Messenger):  # noqa: N801
    """Records the checks of layers and the observations in the current trace."""

    def __init__(self, is_fitted: bool, key: Any) -> None:
        self.is_fitted = is_fitted
        self.is_open = False
        self.count = 0
        self.asked: list[tuple[Any, Callable[[np.ndarray], None], int]] = []
        self.observed: dict[str, Message] = {}
        self.kept: list[str] = []
        self._key = key
        super().__init__()

    def __enter__(self) -> Any:
        self._trace = get_opaque_trace_state()
        return super().__enter__()

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "when_known":
            self.count += 1
            if msg["is_fitted"] and not self.is_fitted:
                self.is_open = True
            elif self._is_here():
                self.asked.append((msg["args"][0], msg["check"], self.count))

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] == "param" and not self.is_fitted:
            # Optimized parameters are as unknown as the key: their initial values do not count.
            msg["value"] = as_unknown(msg["value"], self._key)
        elif msg["type"] == "mutable":
            self.kept.append(msg["name"])
        elif _is_data(msg) and self._is_here():
            self.observed[msg["name"]] = msg

    def _is_here(self) -> bool:
        # Inside a vmap or scan of the model there are no concrete values.
        return get_opaque_trace_state() == self._trace


def _traced(model: Model, leading: Any, parts: Arguments, is_fitted: bool) -> _Seen:
    """The checks that depend only on the data."""
    shapes, others = eqx.partition(leading, lambda x: isinstance(x, jax.ShapeDtypeStruct))
    noted: list[_noting] = []
    lengths: list[int] = []

    def run(unknown: Any, rows: list[Any], shared: list[Any]) -> list[Any]:
        (key, first), (args, kwargs) = unknown, put_together(rows, shared, parts.frame)
        noted.append(_noting(is_fitted, key))
        with noted[0]:
            seed(feasible(model), key)(*eqx.combine(first, others), *args, **kwargs)
        sites = [_values_of(site) for site in noted[0].observed.values()]
        lengths.extend(map(len, sites))
        asked = [value for value, _, _ in noted[0].asked]
        return [jnp.asarray(value) for value in itertools.chain(asked, *sites)]

    unknown = (random.key(0), shapes)
    try:
        program = jax.make_jaxpr(run)(unknown, parts.rows, parts.shared)
    except Exception:
        return _NOTHING  # errors of the model are raised when it runs
    noting, first = noted[0], len(jax.tree.leaves(unknown))
    inputs, titles = inputs_of(program), _titles(parts)
    is_known = [min(found, default=first) >= first for found in inputs]

    places = [i for i in range(len(noting.asked)) if is_known[i]]
    here = [noting.asked[i] for i in places]
    checks, numbers = [check for _, check, _ in here], [number for _, _, number in here]
    values = part_of(program, first, places)
    asked = _Questions(checks, [1] * len(places), values, numbers)

    places, checks, counts, start = [], [], [], len(noting.asked)
    for (name, site), length in zip(noting.observed.items(), lengths, strict=True):
        here = range(start, start + length)
        start += length
        if all(is_known[i] for i in here):
            argument = " and ".join(titles[i - first] for i in sorted(inputs[here[0]]))
            places += here
            checks.append(_Observed(name, argument or name, site["fn"]).check)
            counts.append(length)
    values, numbers = part_of(program, first, places), list(range(len(checks)))
    observed = _Questions(checks, counts, values, numbers)
    is_open = noting.is_open or not all(is_known[: len(noting.asked)])
    return _Seen(asked, observed, is_open, tuple(noting.kept))


class _Observed:
    """One observed site.

    Args:
        name: Its name.
        argument: The name of the observed argument.
        fn: Its likelihood.
    """

    def __init__(self, name: str, argument: str, fn: dist.Distribution) -> None:
        self.name = name
        self.argument = argument
        self.law = _support.law_name(fn)
        self.support = jax.tree.structure(_support.support_of(fn))

    def check(self, y: np.ndarray, mask: Any, scale: np.ndarray, *ends: Any) -> None:
        if np.any(scale < 0):
            raise ValueError(
                f"The observations at {self.name!r} have a negative weight, {np.min(scale):g}. "
                "Weights must be at least 0."
            )
        support = self.support.unflatten(ends)
        _support.check_support(self.argument, y, support, self.law, self.name, mask)


def _values_of(site: Message) -> list[Any]:
    """The observations, the mask, the weights, and the bounds of the support."""
    fn, scale = site["fn"], site["scale"]
    ends = jax.tree.leaves(_support.support_of(fn))
    return [site["value"], _support.mask_of(fn), 1.0 if scale is None else scale, *ends]


def _is_data(site: Message) -> bool:
    """Whether a site is a likelihood and not a factor."""
    is_observed = site["type"] == "sample" and site["is_observed"]
    return is_observed and not isinstance(_support.law_of(site["fn"]), dist.Unit)


def _titles(parts: Arguments) -> list[str]:
    """The names of the arrays among the arguments, row arrays first."""
    places = parts.frame.treedef.unflatten(range(len(parts.rows)))
    titles = []
    for path, _ in jax.tree_util.tree_leaves_with_path(places):
        which, key, *rest = path
        title = key.key if which.idx else f"argument {key.idx}"
        titles.append(title + jax.tree_util.keystr(tuple(rest)))
    split = [
        [t for t, x in zip(titles, xs, strict=True) if x is not None] for xs in parts[:2]
    ]
    return split[0] + split[1]
