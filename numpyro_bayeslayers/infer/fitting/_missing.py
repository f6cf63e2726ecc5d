"""Missing observations: left out of the likelihood, or imputed as latent variables.

The data keep all rows: gaps in `y` are filled with an arbitrary entry, and a separate array
marks them. Just before the model runs they become NaN, which propagates wherever `y` is used; a
handler around the model looks for NaN in the observations of sites, and only there.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array, Bool
from numpyro.distributions import constraints
from numpyro.handlers import seed, trace
from numpyro.primitives import Messenger

from ..._typing import Message, Model
from ...distributions._support import law_name
from ...handlers._above import above
from ...handlers._feasible import feasible
from ..compilation._effort import options

Missing: TypeAlias = Literal["drop", "impute"]

#: The key under which the rows mark the missing entries of `y`.
GAPS = "y$missing"
SUFFIX = "_missing"
# Marks a model that handles gaps itself.
_OPENS = "_opens_gaps"

_ELSEWHERE = (
    "`missing` needs a model in which `y` is what sites observe (`obs=y`) and nothing else; "
    "here missing entries of `y` reach {where} too. Compute what the model needs of `y` "
    "before, from the rows that have one, and hand it over as another argument."
)
_NOWHERE = (
    "`missing` needs a site that observes `y`: hand `y` to a site as `obs=y`. The missing "
    "entries reach none."
)
_NO_LATENT = (
    "missing='impute' needs a likelihood of real numbers, and {name!r} is of {law}. Take "
    "missing='drop': `predict` then draws what the missing entries may be, given the rest."
)
_IN_BATCHES = (
    "missing='impute' has a latent for each missing entry, which minibatches would give other "
    "rows. Give no `batch_size`, or take missing='drop'."
)


def opened(fn: Callable[..., Any], rows: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a model or a guide, with NaN where `y` is missing."""
    if GAPS not in rows or hasattr(fn, _OPENS):
        return rows
    rows = dict(rows)
    gaps = rows.pop(GAPS)
    if rows.get("y") is not None:
        rows["y"] = jax.tree.map(_with_nan, rows["y"], gaps)
    return rows


def _with_nan(y: Array, is_missing: Array) -> Array:
    y = jnp.asarray(y)
    y = y if jnp.issubdtype(y.dtype, jnp.inexact) else y.astype(float)
    return jnp.where(is_missing, jnp.nan, y)


def completed(
    missing: Missing, bound: Callable[..., Any], rows: dict[str, Any], *, in_parts: bool
) -> "Completed":
    """The object that restricts a model to the available observations.

    Args:
        missing: What becomes of the others.
        bound: The model as a function of rows.
        rows: The rows, with gaps.
        in_parts: Whether it will see minibatches.

    Raises:
        ValueError: If `y` reaches no observed site, or anything else in the model; if
            latents cannot stand for what is missing.
    """
    if missing == "impute" and in_parts:
        raise ValueError(_IN_BATCHES)
    counts = _counts(bound, rows)
    return Completed(missing, tuple(counts.items()))


class Completed(NamedTuple):
    """Makes a model one of the observations that there are.

    Args:
        missing: What becomes of the others.
        counts: By the sites that observe `y`, how many are missing.
    """

    missing: Missing
    counts: tuple[tuple[str, int], ...]

    def of(self, model: Model) -> Model:
        """The model, without its missing observations."""
        handler = left_out if self.missing == "drop" else imputed

        def complete(**arguments: Any) -> Any:
            has_gaps = GAPS in arguments
            return handler(model, dict(self.counts), has_gaps)(**opened(model, arguments))

        vars(complete)[_OPENS] = True
        return complete

    @property
    def latent(self) -> tuple[str, ...]:
        """The names of the latents that it adds."""
        is_imputed = self.missing == "impute"
        return tuple(name + SUFFIX for name, _ in self.counts) if is_imputed else ()


def _counts(bound: Callable[..., Any], rows: dict[str, Any]) -> dict[str, int]:
    """By observed sites, how many of their observations are missing; checked."""
    whole = {name: value for name, value in rows.items() if name != GAPS}
    observed: dict[str, dist.Distribution] = {}

    def run(rows: dict[str, Any], whole: dict[str, Any]) -> dict[str, dict[str, Array]]:
        model = seed(feasible(bound), random.key(0))
        with_gaps, without = (trace(model).get_trace(**r) for r in (rows, whole))
        found = {name: _nans(site) for name, site in with_gaps.items()}
        for name, site in without.items():
            before = _nans(site)
            if name in found and site["type"] == "sample" and site["is_observed"]:
                observed[name] = site["fn"]
            found[name] = {
                what: count - before.get(what, 0)
                for what, count in found.get(name, {}).items()
            }
        return found

    found = jax.device_get(jax.jit(run, compiler_options=options(0))(rows, whole))
    counts: dict[str, int] = {}
    for name, nans in found.items():
        number = int(nans.pop("value", 0))
        if name in observed and number > 0:
            counts[name] = number
            number = 0
        if number > 0 or any(count > 0 for count in nans.values()):
            where = "the likelihood of" if name in observed else "the site"
            raise ValueError(_ELSEWHERE.format(where=f"{where} {name!r}"))
    if not counts:
        raise ValueError(_NOWHERE)
    return counts


def _nans(site: Message) -> dict[str, Any]:
    """How many NaN a site's value and the parameters of its law have."""

    def number(tree: Any) -> Any:
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
        floats = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]
        return sum((jnp.isnan(x).sum() for x in floats), jnp.zeros((), int))

    if site["type"] not in ("sample", "deterministic"):
        return {}
    law = site["fn"] if site["type"] == "sample" else None
    return {"value": number(site["value"]), "law": number(law)}


class _gaps(Messenger):  # noqa: N801
    """Finds what is NaN among the observations.

    Args:
        fn: The model.
        counts: By the sites to look at, how many are missing.
        has_gaps: Whether the data is that with gaps.
    """

    def __init__(self, fn: Model, counts: dict[str, int], has_gaps: bool) -> None:
        self.counts = counts if has_gaps else {}
        super().__init__(fn)

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "missing" and self.counts:
            msg["value"] = jnp.isnan(msg["args"][0])
        elif msg["type"] == "sample" and msg["name"] in self.counts:
            self.complete(msg)

    def complete(self, msg: Message) -> None:
        """Change the site."""
        raise NotImplementedError


class left_out(_gaps):  # noqa: N801
    """Leaves out of the likelihood what is NaN among the observations.

    An observation of several entries (of a multivariate normal, say) is left out whole if one
    of them is missing.
    """

    def complete(self, msg: Message) -> None:
        """See `_gaps`."""
        if msg["is_observed"]:
            msg["fn"], msg["value"] = _without(msg["fn"], msg["value"])


def _without(fn: Any, value: Array) -> tuple[dist.Distribution, Array]:
    """The distribution of the present entries, with an arbitrary value for missing ones."""
    if isinstance(fn, dist.Independent):
        base, value = _without(fn.base_dist, value)
        return base.to_event(fn.reinterpreted_batch_ndims), value
    is_there = ~jnp.isnan(value)
    axes = tuple(range(-fn.event_dim, 0))
    is_there = is_there.all(axes)
    within = jnp.expand_dims(is_there, axes) if axes else is_there
    value = jnp.where(within, value, fn.support.feasible_like(value))
    value = value.astype(int) if fn.support.is_discrete else value
    return fn.mask(_in_batch(is_there, fn.batch_shape)), value


def _in_batch(
    is_there: Bool[Array, "..."], batch_shape: tuple[int, ...]
) -> Bool[Array, "..."]:
    shape = jnp.broadcast_shapes(is_there.shape, batch_shape)
    return jnp.broadcast_to(is_there, shape)


class imputed(_gaps):  # noqa: N801
    """Draws what is NaN among the observations, as flat latents that are then observed.

    The latents of the site ``obs`` are the site ``obs_missing`` (k,), in the order of rows;
    the law of the missing observations is the likelihood, in which they stand.
    """

    def complete(self, msg: Message) -> None:
        """See `_gaps`."""
        count = self.counts[msg["name"]]
        with above(self):
            support = _entry_support(msg["name"], msg["fn"])
            law = dist.ImproperUniform(support, (), (count,))
            drawn: Any = numpyro.sample(msg["name"] + SUFFIX, law)
        value = msg["value"]
        if msg["is_observed"]:
            flat = value.ravel()
            (places,) = jnp.nonzero(jnp.isnan(flat), size=count)
            msg["value"] = (
                flat.at[places].set(drawn.astype(flat.dtype)).reshape(value.shape)
            )


def _entry_support(name: str, fn: dist.Distribution) -> Any:
    """What one entry of an observation can be."""
    support: Any = fn.support
    while isinstance(support, type(constraints.real_vector)):
        support = support.base_constraint
    is_plain = not support.event_dim and not any(
        jnp.ndim(x) for x in jax.tree.leaves(support)
    )
    if support.is_discrete or not is_plain:
        raise ValueError(_NO_LATENT.format(name=name, law=law_name(fn)))
    return support
