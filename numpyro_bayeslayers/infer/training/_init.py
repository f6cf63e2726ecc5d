"""Initial values of members: from an earlier result, or given by site."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.handlers import seed, trace
from numpyro.infer.autoguide import AutoGuide

from ... import _checks, _processes
from ..._typing import Model
from ...handlers._feasible import feasible
from ..compilation._fingerprint import digest, kind_of
from ..rows._arguments import Arguments, on_shapes
from ._identity import differs

if TYPE_CHECKING:
    from ._program import Program

_KIND = "`init` must be an earlier result, a state, or a dictionary of values by site, got {given}."
_OTHER = (
    "`init` is of another model or guide ({what}). Pass a dictionary with the (constrained) "
    "initial values of each site instead."
)
_MEMBERS = (
    "`init` has {given} members and this run has {size}. Pass a result with {size} members or "
    "with one, or values by site."
)
_NO_PLACE = (
    "`init` has values of the latent sites {names}, which need an autoguide with a median, got "
    "{guide}. Pass the guide's own parameters by name, {params}, or use another guide."
)
_SHAPE = "`init` of the site {name!r} must have shape {one} or {each}, got {given}."
_OUTSIDE = (
    "`init` of the site {name!r} must be finite, inside its support, and have a finite density "
    "under the model: member {member} cannot start there."
)
_VALUES = (
    "`init` must be a fit or a dictionary of values by site for a method without a guide, got "
    "{given}."
)
_ALL = "`init` must have values of all latent sites for chains, but {names} are missing."
_BOTH = (
    "`init` and `init_state` must not both be given: the state contains the initial values."
)


class Found(NamedTuple):
    """The result of a fit, used as initial values of another one.

    Args:
        result: The parameters of its guide and the last state; None if there is no guide.
        values: ``values(size)`` returns values of its latent sites, (size, *site).
    """

    result: Any
    values: Callable[[int], dict[str, Any]]


class Starts(NamedTuple):
    """Initial values of members: arrays with a leading axis of members.

    Args:
        latents: Values of latent sites.
        params: Values of parameters, in constrained space.
        kept: The model's mutable state (`numpyro.mutable`); None if unknown.
    """

    latents: dict[str, Any]
    params: dict[str, Any]
    kept: Any = None

    @property
    def identity(self) -> dict[str, str]:
        """Hashes that identify these initial values, as text."""
        pairs = jax.tree_util.tree_leaves_with_path(self.latents | self.params)
        return {jax.tree_util.keystr(p): f"{kind_of(x)} {digest(x)}" for p, x in pairs}


#: The remedy if all members were given the same initial values.
APART = "Give different `init` values for each member."
#: Default initial values.
ANYWHERE = Starts({}, {})


def check_one_start(init: Any, init_state: Any) -> None:
    """Check that a run has only one source of initial values.

    Raises:
        ValueError: If both are given.
    """
    if init is not None and init_state is not None:
        raise ValueError(_BOTH)


def starts_at(program: "Program", init: Any, parts: Arguments, size: int) -> Starts:
    """The initial values of the members.

    Args:
        program: The program of the run.
        init: A result, a `Found`, or a dictionary of values by site.
        parts: The arguments of the run.
        size: The number of members.

    Raises:
        TypeError: If `init` is anything else.
        ValueError: If its sites, shapes or number of members do not match.
    """
    if isinstance(init, Mapping):
        return _by_site(program, dict(init), parts, size)
    result = init.result if hasattr(init, "result") else init
    has_params = isinstance(getattr(result, "params", None), Mapping)
    if not has_params and not isinstance(init, Found):
        raise TypeError(_KIND.format(given=f"{init!r} ({type(init).__name__})"))
    what = differs(program, result) if has_params else "it has no guide"
    count = len(jax.tree.leaves(result.params)[0]) if has_params and result.params else 0
    if not what and count in (1, size):
        wanted = program.start_names
        params = {n: x for n, x in result.params.items() if n in wanted}
        kept = getattr(result.state, "mutable_state", None)
        return Starts({}, *jax.tree.map(lambda x: _spread(x, size), (params, kept)))
    if isinstance(init, Found):
        latents = _latent_shapes(program.member.model, parts)
        return _by_site(program, _of_same_sites(init, latents, size), parts, size)
    if what:
        raise ValueError(_OTHER.format(what=what))
    raise ValueError(_MEMBERS.format(given=count, size=size))


def _of_same_sites(init: Found, latents: Mapping[str, Any], size: int) -> dict[str, Any]:
    values = init.values(size)
    for name in values:
        _check_name(name, latents)
    for name in latents:
        if name not in values:
            raise ValueError(f"`init` must have the same sites: it has no site {name!r}.")
    return values


def values_by_site(
    model: Model, init: Any, parts: Arguments, size: int
) -> dict[str, Any] | None:
    """Values of all latent sites with a leading axis of starts; None if there is no `init`.

    Raises:
        TypeError: If `init` has no values by site.
        ValueError: If its sites or shapes do not match, or sites are missing.
    """
    if init is None:
        return None
    latents = _latent_shapes(model, parts)
    values = values_of(init, latents, size)
    missing = [name for name in latents if name not in values]
    if missing:
        raise ValueError(_ALL.format(names=missing))
    return values


def values_of(
    init: Any, shapes: Mapping[str, tuple[int, ...]], size: int
) -> dict[str, Any]:
    """Values by site, given or drawn from a fit, with a leading axis of starts.

    Args:
        init: A `Found`, or a dictionary of values.
        shapes: The shape of one value by site.
        size: The number of starts.

    Raises:
        TypeError: If `init` has no values by site.
        ValueError: If its sites or shapes do not match.
    """
    if not isinstance(init, (Mapping, Found)):
        raise TypeError(_VALUES.format(given=type(init).__name__))
    values = _of_same_sites(init, shapes, size) if isinstance(init, Found) else dict(init)
    for name in values:
        _check_name(name, shapes)
    return {n: _led(n, x, tuple(shapes[n]), size) for n, x in values.items()}


def _spread(x: Any, size: int) -> Any:
    """Broadcast an array of one member to all members, if necessary."""
    x = jnp.asarray(x)
    return (
        x if len(x) == size else np.broadcast_to(_processes.whole(x), (size, *x.shape[1:]))
    )


def _by_site(
    program: "Program", given: dict[str, Any], parts: Arguments, size: int
) -> Starts:
    member = program.member
    latents = _latent_shapes(member.model, parts)
    wanted = program.start_names
    arrays = {n: x for n, x in program.param_shapes.items() if hasattr(x, "shape")}
    params = {n: x.shape for n, x in arrays.items() if n in wanted}
    values: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name, value in given.items():
        _check_name(name, {**latents, **params})
        is_param = name in params
        shape = params[name] if is_param else latents[name]
        values[is_param][name] = _led(name, value, tuple(shape), size)
    if values[0] and not has_median(member.guide):
        kind = type(member.guide).__name__
        names, own = list(values[0]), list(params)
        raise ValueError(_NO_PLACE.format(names=names, guide=kind, params=own))
    return Starts(*values)


def _check_name(name: Any, known: Mapping[str, Any]) -> None:
    _checks.one_of("init", name, known)


def _led(name: str, value: Any, shape: tuple[int, ...], size: int) -> Any:
    """Values of all members, from those of one member or of each."""
    if not isinstance(value, jax.Array):
        value = np.asarray(_checks.reals(f"init[{name!r}]", value))
    if value.shape not in (shape, (size, *shape)):
        each = (size, *shape)
        raise ValueError(_SHAPE.format(name=name, one=shape, each=each, given=value.shape))
    value = np.asarray(_processes.whole(value), jnp.result_type(value, float))
    return np.broadcast_to(value, (size, *shape))


def _latent_shapes(model: Model, parts: Arguments) -> dict[str, tuple[int, ...]]:
    """The shapes of the continuous latent sites, without computing anything."""
    shapes: dict[str, tuple[int, ...]] = {}

    def run(args: tuple, kwargs: dict[str, Any]) -> None:
        seeded = seed(feasible(model), random.key(0))
        for name, site in trace(seeded).get_trace(*args, **kwargs).items():
            is_latent = site["type"] == "sample" and not site["is_observed"]
            if is_latent and not site["fn"].support.is_discrete:
                shapes[name] = jnp.shape(site["value"])

    on_shapes(run, parts, parts.num_rows or 0)
    return shapes


def has_median(guide: Any) -> bool:
    """Whether a guide accepts initial values and has a median."""
    if not isinstance(guide, AutoGuide):
        return False
    parts = getattr(guide, "_guides", ())
    has_own = type(guide).median is not AutoGuide.median
    return has_own and all(has_median(part) for part in parts)


def medians_of(guide: Any, params: dict[str, Any]) -> dict[str, Any]:
    """The medians of the latent sites of an autoguide after set-up."""
    return guide.median(params)


def put_starts(guide: Any, values: dict[str, Any]) -> None:
    """Set the initial values of some sites in an autoguide that has not run yet."""
    for part in getattr(guide, "_guides", ()):
        if isinstance(part, AutoGuide):
            put_starts(part, values)
    # NumPyro expects a partial.
    guide.init_loc_fn = functools.partial(_value_at, guide.init_loc_fn, values)


def _value_at(usual: Callable[..., Any], values: dict[str, Any], site: Any = None) -> Any:
    is_latent = site["type"] == "sample" and not site["is_observed"]
    if is_latent and site["name"] in values:
        return jnp.asarray(values[site["name"]])
    return usual(site)


def landed(value: Any, given: Any) -> Any:
    """Whether a value equals the given one, up to rounding."""
    same = lambda a, b: jnp.isclose(a, b, rtol=1e-2, atol=1e-5).all()
    return jnp.stack(jax.tree.leaves(jax.tree.map(same, value, given))).all()


def check_landed(are_there: dict[str, Any]) -> None:
    """Check that all members start at the given values.

    Args:
        are_there: For each site, whether each member does.

    Raises:
        ValueError: If one does not.
    """
    for name, found in are_there.items():
        if not np.all(_processes.whole(found)):
            member = int(np.argmin(_processes.whole(found)))
            raise ValueError(_OUTSIDE.format(name=name, member=member))
