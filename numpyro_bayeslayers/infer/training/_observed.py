"""Observations that a model's likelihood cannot have, found before anything is compiled.

The model is traced once, without computing anything. What a site observes, its mask and the
ends of its support are then steps of JAX that lead there from the arguments: the few that
there are (a column taken, a type changed) are taken, and NumPy looks at the values. What
depends on a draw (rows that a plate chooses, a bound that is a parameter) is not known
before the model runs, and passes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from jax.extend.core import ClosedJaxpr, Literal
from numpyro.handlers import seed, trace
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...distributions import _support
from ...handlers._feasible import feasible
from ._arguments import Arguments, check_finite, put_together, take_apart


class Observations:
    """The observed sites of one model; it is traced once for each kind of arguments.

    Args:
        model: A NumPyro model; None for a potential, of which nothing is known.
        sites: The sites to look at; all that are observed if None.
    """

    def __init__(self, model: Model | None, sites: tuple[str, ...] | None = None) -> None:
        self._model = model
        self._sites = sites
        self._traced: dict[Any, list[_Site]] = {}

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Look at the model's arguments.

        Raises:
            ValueError: If one holds NaN or infinite entries, if an observation is outside of
                the support of its likelihood, or a weight is negative.
        """
        check_finite(args, kwargs)
        self.check_support(take_apart(args, kwargs))

    def check_support(self, parts: Arguments) -> None:
        """Look at what is observed alone."""
        arrays = [x for x in [*parts.rows, *parts.shared] if x is not None]
        if self._model is None or not _support.is_known(arrays):
            return
        kind = parts.frame, tuple((x.shape, x.dtype) for x in arrays)
        if kind not in self._traced:
            self._traced[kind] = _traced(self._model, parts, self._sites)
        for site in self._traced[kind]:
            site.check(arrays)


class _Site(NamedTuple):
    """One observed site, as steps that lead to it.

    Args:
        name: Its name.
        law: The name of its likelihood.
        argument: The name of the argument that is observed.
        support: The structure of its support.
        arrays: The steps to the observations, the mask, the weights, the support's ends.
    """

    name: str
    law: str
    argument: str
    support: Any
    arrays: list["_Steps"]

    def check(self, arguments: list[Any]) -> None:
        y, mask, scale, *ends = (steps.take(arguments) for steps in self.arrays)
        if np.any(np.asarray(scale) < 0):
            raise ValueError(
                f"The observations at {self.name!r} have a negative weight, "
                f"{np.min(scale):g}. Weights are at least 0."
            )
        support = self.support.unflatten(ends)
        _support.check_support(self.argument, y, support, self.law, self.name, mask)


class _Steps:
    """The part of a traced program that leads to one of its values.

    Args:
        program: A program of a key and the arguments.
        place: Which of its values.
    """

    def __init__(self, program: ClosedJaxpr, place: int) -> None:
        whole = program.jaxpr
        target = whole.outvars[place]
        needed = set() if isinstance(target, Literal) else {target}
        steps = []
        for step in reversed(whole.eqns):
            if needed.intersection(step.outvars):
                steps.append(step)
                needed.update(v for v in step.invars if not isinstance(v, Literal))
        key, *arguments = whole.invars
        self.is_drawn = key in needed
        self.arguments = [i for i, var in enumerate(arguments) if var in needed]
        self._target = target
        self._consts = program.consts
        self._part = whole.replace(eqns=steps[::-1], outvars=[target])

    def take(self, arguments: list[Any]) -> Any:
        """The value, step by step: nothing large is compiled."""
        if isinstance(self._target, Literal):
            return self._target.val
        if self._target in self._part.invars:
            return arguments[self._part.invars.index(self._target) - 1]
        # The key is not read.
        values = jax.core.eval_jaxpr(self._part, self._consts, None, *arguments)
        return values[0]


def _traced(model: Model, parts: Arguments, names: tuple[str, ...] | None) -> list[_Site]:
    """The sites whose observations are known before the model runs."""
    found: dict[str, tuple[Message, int]] = {}

    def run(key: Any, rows: list[Any], shared: list[Any]) -> list[list[Any]]:
        args, kwargs = put_together(rows, shared, parts.frame)
        fn = seed(_changing_params(feasible(model), key), key)
        sites = trace(fn).get_trace(*args, **kwargs)
        sites = {n: s for n, s in sites.items() if _is_data(s)}
        arrays = {n: _arrays(s) for n, s in sites.items()}
        found.update((n, (s, len(arrays[n]))) for n, s in sites.items())
        return list(arrays.values())

    program = jax.make_jaxpr(run)(random.key(0), parts.rows, parts.shared)
    titles, sites, start = _titles(parts), [], 0
    for name, (site, count) in found.items():
        arrays = [_Steps(program, start + i) for i in range(count)]
        start += count
        is_asked = names is None or name in names
        if is_asked and not any(steps.is_drawn for steps in arrays):
            argument = " and ".join(titles[i] for i in arrays[0].arguments)
            law = _support.law_name(site["fn"])
            structure = jax.tree.structure(_support.support_of(site["fn"]))
            sites.append(_Site(name, law, argument or name, structure, arrays))
    return sites


class _changing_params(Messenger):  # noqa: N801
    """Makes what is optimized depend on a key: its first value is not the one that counts."""

    def __init__(self, fn: Model, key: Any) -> None:
        self.zero = 0 * jnp.sum(random.key_data(key))
        super().__init__(fn)

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] == "param":
            msg["value"] = jax.tree.map(self._changed, msg["value"])

    def _changed(self, value: Any) -> Any:
        return value + self.zero.astype(jnp.result_type(value))


def _arrays(site: Message) -> list[Any]:
    """The observations, the mask, the weights, and the ends of the support."""
    fn, scale = site["fn"], site["scale"]
    ends = jax.tree.leaves(_support.support_of(fn))
    return [site["value"], _support.mask_of(fn), 1.0 if scale is None else scale, *ends]


def _is_data(site: Message) -> bool:
    """Whether a site is a likelihood, and no factor."""
    is_observed = site["type"] == "sample" and site["is_observed"]
    return is_observed and not isinstance(_support.law_of(site["fn"]), dist.Unit)


def _titles(parts: Arguments) -> list[str]:
    """The names of the arrays among the arguments, those of rows first."""
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
