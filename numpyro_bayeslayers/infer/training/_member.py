"""NumPyro's `SVI` for one member, in a form that can be mapped over members."""

import copy
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import SVI
from numpyro.infer.autoguide import AutoGuide
from numpyro.infer.elbo import ELBO
from numpyro.infer.svi import SVIState

from ... import _checks
from ..._promotion import promoting
from ..._typing import Model, PRNGKey
from ..compilation._fingerprint import settings_of
from ..rows._bounds import may_move, refuse_moving_bounds
from ..rows._plates import in_batches, on_all_rows
from ..rows._rows import in_minibatch
from ._description import Description, guide_texts, law_text, shapes_text, site_text
from ._guides import (
    autoguide_class,
    check_guide,
    fitted,
    fresh,
    let_go_of_tracers,
    needs_hessian,
    scale_from_hessian,
    scale_name,
    scale_of_zero,
)
from ._init import ANYWHERE, Starts, landed, medians_of, put_starts
from ._ordered import ordered
from ._repulsion import Adding, Repulsion

# Attributes in which autoguides store initial values found during set-up.
_INITIAL = ("_init_locs", "_init_latent")


class Drawn(NamedTuple):
    """A model and the guide that draws its latent sites, for predictions of all rows.

    It is compared by identity: programs are cached by it.
    """

    model: Model
    guide: Model

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class Member:
    """The functions of one member: initialization and step.

    An autoguide is set up in its first run and stores what it finds. Each initialization here
    uses a fresh copy, so that members start from their own draws; the copy for the steps is set
    up once, from shapes only. The user's guide is not modified.

    Args:
        model: The model of one member.
        guide: An autoguide class or `functools.partial` of one, an autoguide, or any guide
            function.
        optim: A NumPyro or optax optimizer.
        loss: The objective.
        repulsion: The repulsion between members.
    """

    def __init__(
        self,
        model: Model,
        guide: Any,
        optim: Any,
        loss: ELBO,
        repulsion: Repulsion | None = None,
    ) -> None:
        self.model = model
        self.repulsion = repulsion
        self._guide = guide if autoguide_class(guide) is None else guide(model)
        check_guide(self._guide)
        self.optim = optim
        self.loss = ordered(loss)
        self.guide = self.fresh_guide()
        self._svi = SVI(model, self.guide, optim, self.loss)
        self._svi.optim = promoted(self._svi.optim)
        self._constrain: Any = None
        self._num_rows: int | None = None
        self._sees_batches = False
        self.sites: dict[str, str] = {}
        self.priors: dict[str, str] = {}

    def expect(self, num_rows: int | None, *, in_parts: bool) -> None:
        """Set the number of rows of the data, and whether steps use minibatches."""
        self._num_rows = num_rows
        self._sees_batches = in_parts

    def _at_part(self, fn: Model) -> Model:
        return in_batches(fn, self._num_rows) if self._sees_batches else fn

    @functools.cached_property
    def drawn(self) -> Drawn:
        """The model and guide for predictions."""
        is_auto = isinstance(self.guide, AutoGuide)
        guide = on_all_rows(fitted(self.guide), self._num_rows, is_auto=is_auto)
        return Drawn(on_all_rows(self.model, self._num_rows), guide)

    def fresh_guide(self) -> Model:
        """A copy of the guide as if it had never run."""
        return fresh(self._guide)

    def set_up(self, args: tuple, kwargs: dict[str, Any]) -> tuple[SVIState, Any]:
        """Set up the model and the guide for steps.

        It is traced with shapes only, without computing. Returns the state of one member, and
        its parameters.
        """
        key = jax.random.key(0)
        svi, state = self._started(key, args, kwargs)
        is_traced = holds_tracers(self.guide, svi.constrain_fn)
        if is_traced or may_move(self.guide):
            refuse_moving_bounds(self.model, self.guide, args, kwargs)
        if is_traced:
            # Supports and constraints with bounds computed by the model need concrete values.
            self.guide = self.fresh_guide()
            with jax.ensure_compile_time_eval():
                svi, state = self._started(key, args, kwargs)
        self._constrain = svi.constrain_fn
        let_go_of_tracers(self.guide)
        return state, svi.get_params(state) | scale_of_zero(self.guide)

    def _started(
        self, key: PRNGKey, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[SVI, SVIState]:
        svi = self._at_step(self.guide, frozenset(), 1.0, 0)
        svi.model = self._noted(svi.model)
        return svi, svi.init(key, *args, **kwargs)

    def _noted(self, model: Model) -> Model:
        """The model, which records descriptions of its sites when it runs."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with trace() as found:
                out = model(*args, **kwargs)
            texts = {name: site_text(site) for name, site in found.items()}
            self.sites = {name: text for name, text in texts.items() if text is not None}
            drawn = {n: s["fn"] for n, s in found.items() if s["type"] == "sample"}
            self.priors = {name: law_text(fn) for name, fn in drawn.items()}
            return out

        return run

    def description(self, params: Any, size: int) -> Description:
        """The description of a run of `size` such members, without the data.

        Args:
            params: The shapes of one member's parameters, as returned by `set_up`.
            size: The number of members.
        """
        guide, _ = guide_texts(self._guide)
        apart = {} if self.repulsion is None else settings_of({"repulsion": self.repulsion})
        return Description(
            {
                "sites": self.sites,
                "priors": self.priors,
                "guide": guide,
                "parameters": shapes_text(params),
                "members": {"": str(size)},
                "optimizer": settings_of(self.optim),
                "loss": settings_of(self.loss) | apart,
            }
        )

    def source(self) -> dict[str, dict[str, str]]:
        """The description of initial values and code, for resuming the same run."""
        start = guide_texts(self._guide)[1]
        if not isinstance(self._guide, AutoGuide):
            start = settings_of(self._guide)
        return {"start": start, "model": settings_of(self.model)}

    def init(
        self, key: PRNGKey, args: tuple, kwargs: dict[str, Any], starts: Starts = ANYWHERE
    ) -> tuple[SVIState, tuple[dict[str, PyTree], dict[str, Any]]]:
        """The initial state, what an autoguide found, and whether given values were reached."""
        guide, (latents, params, kept) = self.fresh_guide(), starts
        if latents:
            put_starts(guide, latents)
        svi = self._at_step(guide, frozenset(), 1.0, 0)
        state = svi.init(key, *args, init_params=params or None, **kwargs)
        state = state if kept is None else state._replace(mutable_state=kept)
        here = svi.get_params(state) if latents or params else {}
        there = {n: landed(here[n], value) for n, value in params.items()}
        if latents:
            median = medians_of(guide, here)
            there |= {n: landed(median[n], value) for n, value in latents.items()}
        found = {n: getattr(guide, n) for n in _INITIAL if hasattr(guide, n)}
        return state, (found, there)

    def settle(self, found: dict[str, PyTree]) -> None:
        """Replace tracers left in the guide by the set-up from shapes with concrete values."""
        for name, value in found.items():
            if isinstance(value, dict):  # JAX has sorted it
                value = {n: value[n] for n in getattr(self.guide, name)}
            setattr(self.guide, name, value)

    def settle_anywhere(self) -> None:
        """Replace them with zeros, if existing parameters make initial values irrelevant."""
        settle_anywhere(self.guide)

    def update(
        self,
        state: SVIState,
        args: tuple,
        kwargs: dict[str, Any],
        names: frozenset[str],
        scale: Any,
        push: Callable[[PyTree, Any], Array] | None = None,
    ) -> tuple[SVIState, Array]:
        """One step, in which the sites `names` of a minibatch are scaled by `scale`.

        The function `push` of the parameters and the mutable state is added to the loss.
        """
        svi = self._at_step(self.guide, names, scale, state.optim_state[0])
        if push is not None:
            optim: Any = Adding(svi.optim, lambda params: push(params, state.mutable_state))
            svi.optim = optim
        svi.constrain_fn = self._constrain
        return svi.update(state, *args, **kwargs)

    def pushed(self, state: SVIState) -> Callable[[PyTree, Any], Array] | None:
        """The repulsion term of the loss of one member, given the states of all."""
        if self.repulsion is None:
            return None
        inner = jax.vmap(self.unconstrained)(state)
        added = self.repulsion.against(jax.vmap(self._features)(inner, state.mutable_state))
        return lambda params, kept: added(self._features(params, kept))

    def _features(self, params: PyTree, kept: Any) -> Array:
        repulsion: Any = self.repulsion
        if repulsion.space == "weights":
            return ravel_pytree(params)[0]
        values, key = self.constrained(params) | (kept or {}), jax.random.key(0)
        args, kwargs = repulsion.arguments
        values |= latents(self.drawn, values, key, args, kwargs)
        model = substitute(seed(self.drawn.model, key), data=values)
        sites = trace(model).get_trace(*args, **kwargs)
        name = _checks.one_of("repulsion.function", repulsion.function, sorted(sites))
        return jnp.ravel(sites[name]["value"])

    def _at_step(self, guide: Model, names: frozenset[str], scale: Any, step: Any) -> SVI:
        model = in_minibatch(self._at_part(self.model), names, scale, step)
        guide = in_minibatch(self._at_part(guide), names, scale, step)
        return SVI(model, guide, self._svi.optim, self.loss)

    def unconstrained(self, state: SVIState) -> PyTree:
        """The parameters in the optimizer's unconstrained space."""
        return self._svi.optim.get_params(state.optim_state)

    def constrained(self, params: PyTree) -> dict[str, Array]:
        """The parameters by site name, as in `SVI.get_params`."""
        return self._constrain(params)

    def finished(
        self,
        params: dict[str, Any],
        state: SVIState,
        args: tuple,
        kwargs: dict[str, Any],
    ) -> dict[str, Array]:
        """The parameters that the guide computes after the last step, from all rows."""
        if not needs_hessian(self.guide):
            return {}
        svi = self._at_step(self.guide, frozenset(), 1.0, state.optim_state[0])

        def loss(params: dict[str, Array]) -> Any:
            known = params | (state.mutable_state or {})
            key = jax.random.key(0)  # nothing is drawn: the guide is a point estimate
            found = self.loss.loss_with_mutable_state(
                key, known, svi.model, svi.guide, *args, **kwargs
            )
            return found["loss"]

        return {scale_name(self.guide): scale_from_hessian(self.guide, loss, params)}


def latents(
    drawn: Drawn,
    params: dict[str, Any],
    key: PRNGKey,
    args: tuple,
    kwargs: dict[str, Any],
) -> dict[str, Array]:
    """One draw of the latent sites from the guide of one member."""
    guide = substitute(seed(drawn.guide, key), data=params)
    sites = trace(guide).get_trace(*args, **kwargs)
    return {
        name: site["value"]
        for name, site in sites.items()
        if site["type"] == "sample" and not site["infer"].get("is_auxiliary", False)
    }


def promoted(optim: Any) -> Any:
    """A NumPyro optimizer with NumPy's dtype promotion, whatever JAX's setting."""
    twin = copy.copy(optim)

    def update(*args: Any, **kwargs: Any) -> Any:
        with promoting():
            return optim.update_fn(*args, **kwargs)

    twin.update_fn = update
    return twin


def holds_tracers(guide: Any, constrain: Any) -> bool:
    """Whether bounds of supports or constraints are tracers from the set-up.

    Args:
        guide: The guide.
        constrain: NumPyro's function from unconstrained to constrained parameters.
    """
    sites = (getattr(guide, "prototype_trace", None) or {}).values()
    laws = [s["fn"] for s in sites if s["type"] == "sample" and not s["is_observed"]]
    bounds = [law.support for law in laws], getattr(constrain, "args", ())
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(bounds))


def settle_anywhere(guide: Any) -> None:
    """Set the initial values of an autoguide that was set up from shapes to zero."""
    for name in _INITIAL:
        if hasattr(guide, name):
            value = getattr(guide, name)
            # Not with `jax.tree.map`, which would sort the sites.
            is_sites = isinstance(value, dict)
            zeros = {n: _zeros(x) for n, x in value.items()} if is_sites else _zeros(value)
            setattr(guide, name, zeros)


def _zeros(value: Any) -> Any:
    return jax.tree.map(lambda x: jax.device_put(np.zeros(x.shape, x.dtype)), value)
