"""Ensembles of maximum a posteriori fits."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, ArrayLike, Float, PyTree, Real

from ... import _checks, _processes
from ..._threads import ALONE
from ..._typing import Params, PRNGKey
from ...handlers._mixed_precision import in_precision
from ..compilation._jit import Frame, jit_on_arrays
from ..rows._arguments import take_apart
from ..rows._inputs import Seed, as_arrays, as_data, as_key, check_data, row_count
from ..rows._layout import Layout
from ..rows._look import Look
from ..rows._summed import check_summed
from ..training._alike import are_alike, warn_alike
from ..training._callbacks import Callback, checked_callbacks
from ..training._checkpoint import Checkpoint
from ..training._description import data_texts
from ..training._divided import look_at_all
from ..training._early_stopping import EarlyStopping
from ..training._given import check_given
from ..training._identity import Known, check_state
from ..training._init import APART, check_one_start
from ..training._repulsion import Repulsion, check_repulsion
from ..training._state import position
from ..training._trainer import Around, Trainer, checked_around
from ..training._training_loop import warn_non_finite
from ._functions import (
    EnsembleResult,
    EnsembleState,
    InitFn,
    LogJoint,
    check_optimizer,
    ensemble_init,
    ensemble_step,
    state_at,
)
from ._map_run import (
    OfMap,
    copied,
    digests,
    divided_pair,
    held_of,
    plain_state,
    scorer_of,
    shown_with,
    started_at,
    trained_arrays,
)


class EnsembleMAP:
    """Ensemble of maximum a posteriori fits from different initial values.

    Each member e minimizes ``-loglik(params_e) - prior_weight * logprior(params_e)``. With
    ``prior_weight=0`` the members are maximum likelihood fits, as in the deep ensembles of the
    reference.

    An object compiles its functions once for each shape of the data, for any number of steps,
    and caches them, so use one object for several runs.

    Args:
        log_joint: ``log_joint(params, x, y) -> (loglik, logprior)``, both scalars in nats.
        init_fn: ``init_fn(key) -> params`` of one member; see `ensemble_init`.
        optimizer: An optax optimizer. Each member has its own optimizer state; clipping by
            global norm, for example, acts within a member.
        ensemble_size: The number of members, at least 1.
        prior_weight: Weight of the log prior, at least 0; at 0 the prior is left out.
        repulsion: The repulsion between members, from `repulsive`, which is added to their
            losses; None for independent members.
        mesh: Devices over which the members are distributed; see `EnsembleSVI`.
        data_axis: The axis of `mesh` over which rows are split; see `EnsembleSVI`.
        precision: ``"bfloat16"`` to compute matrix products of layers in half precision, for a
            `log_joint` with layers, such as that of `log_joint_of`. See
            `handlers.mixed_precision`.

    Raises:
        TypeError: If a function is not callable or `optimizer` has the wrong type.
        ValueError: If `ensemble_size` is below 1 or `prior_weight` is negative.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> def log_joint(w, x, y):
        ...     return -0.5 * jnp.sum((y - x @ w) ** 2), -0.5 * jnp.sum(w**2)
        >>> init_fn = lambda key: jax.random.normal(key, (2,))
        >>> ensemble = EnsembleMAP(log_joint, init_fn, optax.sgd(0.4))
        >>> result = ensemble.run(0, 50, jnp.eye(2), jnp.array([2.0, -4.0]), progress_bar=False)
        >>> result.params.shape, result.params[0].round(3).tolist()
        ((16, 2), [1.0, -2.0])

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), "Simple and scalable predictive
        uncertainty estimation using deep ensembles", NeurIPS, Algorithm 1 (without its
        adversarial examples).
    """

    def __init__(
        self,
        log_joint: LogJoint,
        init_fn: InitFn,
        optimizer: optax.GradientTransformation,
        ensemble_size: int = 16,
        prior_weight: Real[ArrayLike, ""] = 1.0,
        *,
        repulsion: Repulsion | None = None,
        mesh: Mesh | None = None,
        data_axis: str | None = None,
        precision: str = "float32",
    ) -> None:
        _checks.function("log_joint", log_joint)
        _checks.function("init_fn", init_fn)
        check_optimizer(optimizer)
        log_joint = in_precision(log_joint, precision)
        ensemble_size = _checks.size("ensemble_size", ensemble_size)
        prior_weight = _checks.non_negative("prior_weight", prior_weight)
        check_repulsion(repulsion, ensemble_size, "EnsembleMAP")
        self.log_joint = log_joint
        self.init_fn = init_fn
        self.optimizer = optimizer
        self.ensemble_size = ensemble_size
        self.prior_weight = prior_weight
        layout = self._layout = Layout.checked(mesh, data_axis, ensemble_size)

        def init(key: PRNGKey) -> EnsembleState:
            state = ensemble_init(init_fn, optimizer, ensemble_size=ensemble_size, seed=key)
            orders = jax.vmap(lambda _: key)(jnp.arange(ensemble_size))
            return layout.keep(state._replace(order_key=orders))

        def step(
            state: EnsembleState, batch: tuple[PyTree, PyTree], shared: PyTree, scale: Any
        ) -> Any:
            del shared
            found = ensemble_step(
                state,
                *batch,
                log_joint=log_joint,
                optimizer=optimizer,
                prior_weight=prior_weight,
                scale=scale,
                repulsion=repulsion,
            )
            return layout.keep(found)

        def restart(params: Params) -> EnsembleState:
            found = eqx.filter_vmap(lambda one: state_at(one, optimizer))(params)
            return layout.keep(found)

        self._init = eqx.filter_jit(init)
        self._restart = eqx.filter_jit(restart)
        self._shapes = lambda: eqx.filter_eval_shape(init, jax.random.key(0))
        self._found: Known | None = None
        self._step = jit_on_arrays(step)
        self._trainer = Trainer(step, trained_arrays, layout)
        self._scorer = scorer_of(log_joint)
        made_of = log_joint, init_fn, optimizer, ensemble_size, prior_weight, repulsion
        self._of = OfMap(*made_of)
        self._checked: set[Any] = set()
        start = lambda: (as_arrays(init_fn(jax.random.key(0))),)
        self._look = Look(log_joint, lambda: eqx.filter_eval_shape(start))

    def init(self, seed: Seed) -> EnsembleState:
        """Initialize all members; see `ensemble_init`.

        Args:
            seed: An integer or a JAX random key.

        Raises:
            TypeError: If `seed` has the wrong type.
            ValueError: If a member has nothing to train, or `init_fn` returns the state of a
                module; use `EnsembleSVI` with a lifted module instead.

        Example:
            >>> import optax
            >>> log_joint = lambda w, x, y: (-((y - w * x) ** 2).sum(), -(w**2))
            >>> EnsembleMAP(log_joint, lambda key: 0.0, optax.sgd(0.1)).init(0).params.shape
            (16,)
        """
        with ALONE:
            state = self._init(as_key(seed))
            return state._replace(description=self._known(state).description)

    def _known(self, state: EnsembleState | None = None) -> Known:
        """The description of its runs, computed once; from a state, if there is one."""
        if self._found is None:
            self._found = self._of.known(self._shapes() if state is None else state)
        return self._found

    def update(
        self,
        state: EnsembleState,
        x_batch: PyTree,
        y_batch: PyTree,
        *,
        scale: Real[ArrayLike, ""] = 1.0,
    ) -> tuple[EnsembleState, Float[Array, " e"]]:
        """Take one compiled step in all members; `state` remains usable.

        Args:
            state: From `init` or an earlier `update`.
            x_batch: Rows of the inputs: an array or a pytree of arrays.
            y_batch: The same rows of the outputs.
            scale: Weight of the log likelihood: N / B for B of N rows.

        Returns:
            The next state, and the losses before the step.

        Raises:
            ValueError: If the rows of `x_batch` and `y_batch` differ in number, `log_joint`
                does not return two scalars, or `scale` is not positive.

        Example:
            >>> import jax.numpy as jnp, optax
            >>> log_joint = lambda w, x, y: (-((y - w * x) ** 2).sum(), -(w**2))
            >>> ensemble = EnsembleMAP(log_joint, lambda key: 0.0, optax.sgd(0.1), 2)
            >>> state, losses = ensemble.update(ensemble.init(0), jnp.ones(3), jnp.ones(3))
            >>> losses
            Array([3., 3.], dtype=float32)
        """
        with ALONE:
            scale = _checks.positive("scale", scale)
            batch = self._layout.rows((x_batch, y_batch))
            after, losses = self._step(plain_state(state), batch, (), scale)
            of = state.description and state.description.with_data(None)
            return after._replace(order_key=state.order_key, description=of), losses

    def run(
        self,
        seed: Seed,
        num_epochs: int,
        x: PyTree,
        y: PyTree,
        *,
        batch_size: int | None = None,
        progress_bar: bool = True,
        init: Any = None,
        init_state: EnsembleState | None = None,
        early_stopping: EarlyStopping | None = None,
        validation: Any = None,
        checkpoint: Checkpoint | None = None,
        callbacks: Callback | Sequence[Callback] = (),
    ) -> EnsembleResult:
        """Initialize all members and take `num_epochs` steps in each.

        The result equals that of `init` and `num_epochs` calls of `update`. All members use the
        same rows. A member that becomes NaN or infinite does not affect the others, and a
        warning names it.

        Args:
            seed: An integer or a JAX random key, for the members' initial values and the order
                of rows.
            num_epochs: The number of optimizer steps, at least 1 (not passes over the data).
            x: Inputs: an array or a pytree of arrays, rows first.
            y: Outputs, with as many rows.
            batch_size: Number of rows per step, at least 1; all N rows if None or at least N.
                The log likelihood of a minibatch is scaled by N / batch_size. The rows are
                shuffled before each pass; a last incomplete batch is left out.
            progress_bar: Whether to show progress and the mean loss over members.
            init: Initial values, with a new optimizer state: an `EnsembleResult` with as many
                members or with one, or parameters of the structure that `init_fn` returns, with
                or without a leading axis of members. Entries of dictionaries may be left out.
            init_state: The ``state`` of an earlier result, to continue from; see
                `EnsembleSVI.run`, also for the following arguments.
            early_stopping: Stop each member when its loss no longer decreases, or when its
                score on held-out rows no longer increases.
            validation: Held-out rows: a fraction of the rows, ``(x, y)``, or ``{"x": x, "y":
                y}``. Their score is the log likelihood in nats per row.
            checkpoint: Save the run at intervals; a run resumes from an existing file.
            callbacks: A function of `Progress`, or a list of them.

        Raises:
            TypeError: If `num_epochs` or `batch_size` is not an integer, or `seed` is not a seed.
            ValueError: If `num_epochs` or `batch_size` is below 1, `x` and `y` differ in rows
                or contain NaN or infinite entries, `log_joint` does not return two scalars, the
                log likelihood is not a sum over rows although there are minibatches or held-out
                rows, or `init`, `init_state` or a checkpoint belongs to another run.

        Example:
            >>> import jax, jax.numpy as jnp, optax
            >>> log_joint = lambda w, x, y: (-((y - w * x) ** 2).sum(), -(w**2))
            >>> ensemble = EnsembleMAP(log_joint, jax.random.normal, optax.sgd(0.1), 2)
            >>> ensemble.run(0, 5, jnp.ones(3), jnp.ones(3), progress_bar=False).losses.shape
            (2, 5)
        """
        with ALONE:
            num_epochs = _checks.size("num_epochs", num_epochs)
            batch_size = _checks.optional(_checks.size)("batch_size", batch_size)
            progress_bar = _checks.switch("progress_bar", progress_bar)
            callbacks = checked_callbacks(callbacks)
            check_one_start(init, init_state)
            rule = checked_around(
                early_stopping, checkpoint, is_held=validation is not None
            )
            if isinstance(init, EnsembleState):
                init, init_state = None, init
            x, y = as_data(x=x, y=y).values()
            check_data(x=x, y=y)
            key, parts = as_key(seed), take_apart((x, y), {})
            parts, held_out = divided_pair(validation, parts, key)
            (x, y), _ = parts.frame.fill(parts.rows)
            num_rows = row_count(x=x, y=y)
            check_given(
                self._layout,
                parts,
                held_out,
                key,
                {
                    "num_epochs": num_epochs,
                    "batch_size": batch_size,
                    "progress_bar": progress_bar,
                    "early_stopping": early_stopping,
                    "checkpoint": checkpoint and checkpoint.every,
                    "callbacks": len(callbacks),
                },
            )
            look_at_all(self._look, parts, held_out)
            taken = 0
            if init_state is not None:
                start = init_state
                check_state(self._known(), start, parts, name="init_state")
                taken, key = position(start, key)
            else:
                start = self._init(key)
                if init is not None:
                    start = started_at(init, start, self.ensemble_size, self._restart)
                if are_alike(start.params):
                    mend = "Let `init_fn` draw from its key." if init is None else APART
                    warn_alike(start.params, mend)
            size = None if batch_size is None or batch_size >= num_rows else batch_size
            if size is not None:
                self._check_rows(start, x, y, size)
            held = None
            if held_out is not None:
                held = held_of(self._scorer, held_out)
                self._check_rows(start, *held.arrays[:2], None)
            around = Around(rule, checkpoint, callbacks, held)
            of_run = self._known(start).description.with_data(data_texts(parts))
            identity = None
            if checkpoint is not None:
                own, of_whole = around.identity(of_run)
                at = None if init is None else digests(start.params)
                options = {"batch_size": size, "taken": taken, "init": at, **own}
                identity = self._of.identity(key, options, of_whole)
            shown = shown_with(start)
            done = self._trainer.run(
                self._layout.members(
                    plain_state(start if init_state is None else copied(start))
                ),
                self._layout.rows(jax.tree.map(jnp.asarray, (x, y))),
                num_epochs,
                around,
                shown=shown,
                size=self.ensemble_size,
                work=size or num_rows,
                key=key,
                batch_size=size,
                progress_bar=progress_bar,
                taken=taken,
                identity=identity,
            )
            last = done.state._replace(order_key=start.order_key, description=of_run)
            params = last.params if done.params is None else shown(done.params)
            warn_non_finite(params, done.losses)
            return EnsembleResult(params, done.losses, last, done.validation)

    def _check_rows(
        self, state: EnsembleState, x: PyTree, y: PyTree, size: int | None
    ) -> None:
        """Check once per kind of data that minibatches can be scaled and rows can be scored."""
        kind = Frame((x, y)), size
        if kind not in self._checked:
            most = size or check_data(x=x, y=y)
            held_out = size is None
            params = state.params
            if _processes.are_shared(params):
                first = lambda a: jax.device_put(_processes.whole(a[:1]))
                params = jax.tree.map(lambda a: first(a) if eqx.is_array(a) else a, params)
            check_summed(self.log_joint, params, x, y, most, held_out=held_out)
            self._checked.add(kind)
