"""The log predictive density of held-out rows for the guides of all members."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax, nn, random
from jaxtyping import Array, Float
from numpyro.handlers import seed, substitute, trace

from ..._typing import Message, Model, PRNGKey
from ...distributions import _support
from ...handlers._feasible import feasible
from ..compilation._memory import MOST_BYTES, peak_bytes
from ..rows._arguments import Arguments, on_shapes, put_together
from ..rows._row_terms import row_terms
from ..rows._rows import row_axes
from ._member import Drawn, latents

_NONE = (
    "`validation` needs observations with one entry per row: no observed site of the model "
    "grows with the rows."
)
_OWN = (
    "`validation` cannot score new rows: {names} {verb} one value per row of the fit, and new "
    "rows have none ({reason})."
)
_PARAMETER = "it is a parameter, which has no prior"
_FIRST = 0x5EED


class Kind(NamedTuple):
    """How the rows of a model are scored.

    Args:
        axes: The observed sites, and the row axis of their densities.
        local: Latent sites with a value per row: those of new rows are drawn.
    """

    axes: dict[str, int]
    local: frozenset[str]


def kind_of_rows(
    model: Model, parts: Arguments, sites: tuple[str, ...] | None = None
) -> Kind:
    """Find out how `model` scores the rows of `parts`.

    Args:
        model: The model, for all rows that it is given.
        parts: Its arguments, with observations.
        sites: The observed sites that are scored; all if None.

    Raises:
        ValueError: If no observation has one entry per row, or new rows cannot be scored.
    """
    count = parts.num_rows or 0
    few, many = (_density_shapes(model, parts, n) for n in (count, count + 1))
    axes = {}
    for name, shape in few.items():
        if sites is not None and name not in sites:
            continue
        pairs = zip(shape, many.get(name, ()), strict=False)
        grown = [i for i, (a, b) in enumerate(pairs) if a != b]
        if grown:
            axes[name] = grown[0] - len(shape)
    if not axes:
        raise ValueError(_NONE)
    grows = row_axes(model, parts, count, count + 1)
    kinds = {name: site for name, (site, _) in grows.items()}
    params = [name for name, site in kinds.items() if site["type"] == "param"]
    if params:
        raise ValueError(_OWN.format(names=params, verb="have", reason=_PARAMETER))
    local = [n for n, s in kinds.items() if s["type"] == "sample" and not s["is_observed"]]
    if local:
        terms = row_terms(model, parts, count) or {}
        joint = [n for n in local if n in terms and terms[n].kind == "joint"]
        if joint:
            reason = terms[joint[0]].reason
            raise ValueError(_OWN.format(names=joint, verb="have", reason=reason))
    return Kind(axes, frozenset(local))


def _density_shapes(model: Model, parts: Arguments, rows: int) -> dict[str, Any]:
    def run(args: tuple, kwargs: dict[str, Any]) -> dict[str, Array]:
        sites = trace(seed(feasible(model), random.key(0))).get_trace(*args, **kwargs)
        return {n: _density(s) for n, s in sites.items() if _is_scored(s)}

    return {name: x.shape for name, x in on_shapes(run, parts, rows).items()}


def _is_scored(site: Message) -> bool:
    """Whether a site is a likelihood and not a factor."""
    is_observed = site["type"] == "sample" and site["is_observed"]
    return is_observed and not isinstance(_support.law_of(site["fn"]), dist.Unit)


def _density(site: Message) -> Array:
    """The log density of each observed entry, without its weight."""
    fn = site["fn"]
    while isinstance(fn, dist.Independent):
        fn = fn.base_dist
    return jnp.asarray(fn.log_prob(site["value"]))


def rows_density(
    model: Model, kind: Kind, values: dict[str, Any], args: tuple, kwargs: dict[str, Any]
) -> Float[Array, " n"]:
    """The log density of each row at given values of the latent sites and parameters.

    Args:
        model: The model, with a seed.
        kind: How its rows are scored.
        values: Values by site name.
        args: The arguments of the model.
        kwargs: Keyword arguments of the model.
    """
    shared = {name: x for name, x in values.items() if name not in kind.local}
    sites = trace(substitute(model, data=shared)).get_trace(*args, **kwargs)
    found = []
    for name, axis in kind.axes.items():
        entries = jnp.moveaxis(_density(sites[name]), axis, 0)
        found.append(entries.reshape(entries.shape[0], -1).sum(1))
    return functools.reduce(jnp.add, found)


def score_of(
    drawn: Drawn,
    params_of: Callable[[Any], dict[str, Any]],
    kind: Kind,
    held: Any,
    fitted: Any,
    size: int,
    draws: int,
    *,
    are_one: bool = False,
) -> Callable[..., Float[Array, " e"]]:
    """The scorer of all members: ``score(state, rows, shared, fit_rows, fit_shared, key)``.

    Args:
        drawn: The model and guide of a member.
        params_of: The function from a state to the parameters and mutable state of all members.
        kind: How rows are scored.
        held: Non-array arguments of the held-out rows.
        fitted: Non-array arguments of the data of the fit, which are passed to the guide.
        size: The number of members.
        draws: The number of draws from each guide.
        are_one: Whether to score the mixture of members rather than each member.
    """

    def one(params: Any, keys: Any, given: Any, at_fit: Any) -> Float[Array, "*n"]:
        def density(key: PRNGKey) -> Float[Array, " n"]:
            key_guide, key_model = random.split(key)
            values = params | latents(drawn, params, key_guide, *at_fit)
            return rows_density(seed(drawn.model, key_model), kind, values, *given)

        def add(total: Any, key: PRNGKey) -> tuple[Any, None]:
            return jnp.logaddexp(total, density(key)), None

        total, _ = lax.scan(add, density(keys[0]), keys[1:])
        found = total - jnp.log(draws)
        return found if are_one else found.mean()

    def score(
        state: Any, rows: Any, shared: Any, fit_rows: Any, fit_shared: Any, key: PRNGKey
    ) -> Float[Array, " e"]:
        given = put_together(rows, shared, held)
        at_fit = put_together(fit_rows, fit_shared, fitted)
        keys = random.split(random.fold_in(key, _FIRST), (size, draws))
        each = lambda pair: one(*pair, given, at_fit)
        pairs = params_of(state), keys
        at_once = _members_at_once(lambda: jax.vmap(each)(pairs), size)
        if at_once >= size:
            found = jax.vmap(each)(pairs)
        else:
            found = lax.map(each, pairs, batch_size=at_once)
        if not are_one:
            return found
        return (nn.logsumexp(found, axis=0) - jnp.log(size)).mean()[None]

    return score


def _members_at_once(all_of_them: Callable[[], Any], size: int) -> int:
    """The number of members scored at a time, limited by memory."""
    peak = peak_bytes(jax.make_jaxpr(all_of_them)())
    return max(min(size, int(size * MOST_BYTES / max(peak, 1))), 1)
