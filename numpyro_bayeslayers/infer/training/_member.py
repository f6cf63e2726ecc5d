"""Stock `SVI` for one member, ready to be mapped over all of them."""

import copy
import functools
import inspect
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, PyTree
from numpyro.infer import SVI
from numpyro.infer.autoguide import AutoGuide
from numpyro.infer.elbo import ELBO
from numpyro.infer.svi import SVIState

from ..._typing import Model, PRNGKey
from ._ordered import ordered
from ._plates import in_batches, on_all_rows
from ._rows import in_minibatch

# Where autoguides keep initial values that were found when they were set up.
_INITIAL = ("_init_locs", "_init_latent")


class Drawn(NamedTuple):
    """A model and a guide that draws its latent sites, for predictions of all rows."""

    model: Model
    guide: Model


class Member:
    """What one member does: start, and take a step.

    An autoguide is set up when it first runs, and keeps what it found. Each start here uses
    a fresh copy, so that members start from draws of their own; the copy for the steps is
    set up once, from shapes alone. The user's guide stays as it was.

    Args:
        model: The model of one member.
        guide: An autoguide class, an autoguide, or any guide function.
        optim: A NumPyro or an optax optimizer.
        loss: The objective.
    """

    def __init__(self, model: Model, guide: Any, optim: Any, loss: ELBO) -> None:
        self.model = model
        is_class = inspect.isclass(guide) and issubclass(guide, AutoGuide)
        self._guide = guide(model) if is_class else guide
        self.optim = optim
        self.loss = ordered(loss)
        self.guide = self.fresh_guide()
        self._svi = SVI(model, self.guide, optim, self.loss)
        self._constrain: Any = None
        self._num_rows: int | None = None
        self._sees_batches = False

    def expect(self, num_rows: int | None, *, in_parts: bool) -> None:
        """Say how many rows the data has, and whether steps see a part of them."""
        self._num_rows = num_rows
        self._sees_batches = in_parts

    def _at_part(self, fn: Model) -> Model:
        return in_batches(fn, self._num_rows) if self._sees_batches else fn

    @functools.cached_property
    def drawn(self) -> Drawn:
        """What draws predictions."""
        is_auto = isinstance(self.guide, AutoGuide)
        guide = on_all_rows(self.guide, self._num_rows, is_auto=is_auto)
        return Drawn(on_all_rows(self.model, self._num_rows), guide)

    def fresh_guide(self) -> Model:
        """The guide as if it had never run."""
        return _fresh(self._guide)

    def set_up(self, args: tuple, kwargs: dict[str, Any]) -> None:
        """Find out all that steps need to know of the model and the guide.

        Shapes are enough: it is run where nothing is computed.
        """
        svi = self._at_step(self.guide, frozenset(), 1.0, 0)
        svi.init(jax.random.key(0), *args, **kwargs)
        self._constrain = svi.constrain_fn

    def init(
        self, key: PRNGKey, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[SVIState, dict[str, PyTree]]:
        """The first state, and the initial values that an autoguide found."""
        guide = self.fresh_guide()
        state = self._at_step(guide, frozenset(), 1.0, 0).init(key, *args, **kwargs)
        return state, {n: getattr(guide, n) for n in _INITIAL if hasattr(guide, n)}

    def settle(self, found: dict[str, PyTree]) -> None:
        """Put real values where setting up from shapes left tracers in the guide."""
        for name, value in found.items():
            setattr(self.guide, name, value)

    def update(
        self,
        state: SVIState,
        args: tuple,
        kwargs: dict[str, Any],
        names: frozenset[str],
        scale: Any,
    ) -> tuple[SVIState, Array]:
        """One step, in which the sites `names` of a minibatch count `scale` times."""
        svi = self._at_step(self.guide, names, scale, state.optim_state[0])
        svi.constrain_fn = self._constrain
        return svi.update(state, *args, **kwargs)

    def _at_step(self, guide: Model, names: frozenset[str], scale: Any, step: Any) -> SVI:
        model = in_minibatch(self._at_part(self.model), names, scale, step)
        guide = in_minibatch(self._at_part(guide), names, scale, step)
        return SVI(model, guide, self._svi.optim, self.loss)

    def unconstrained(self, state: SVIState) -> PyTree:
        """The parameters as the optimizer sees them."""
        return self._svi.optim.get_params(state.optim_state)

    def constrained(self, params: PyTree) -> dict[str, Array]:
        """The parameters by site name, as `SVI.get_params` gives them."""
        return self._constrain(params)


def _fresh(guide: Any) -> Any:
    """A copy of an autoguide as if it had never run; other guides as they are.

    Not a deep copy: what an earlier run left may hold tracers, which cannot be copied.
    """
    if not isinstance(guide, AutoGuide):
        return guide
    twin = copy.copy(guide)
    for name, value in vars(guide).items():
        if isinstance(value, list):
            setattr(twin, name, [_fresh(v) for v in value])
        elif isinstance(value, (dict, AutoGuide)):
            setattr(
                twin, name, _fresh(value) if isinstance(value, AutoGuide) else dict(value)
            )
    twin.prototype_trace = None  # it is set up when it runs
    return twin
