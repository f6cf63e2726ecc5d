"""The pure functions of ensembles: initialization, loss and step.

Functions are written for one member and mapped over all members by `jax.vmap`, including the
optimizer, so that operations across parameters (such as clipping by global norm) stay within a
member. The data are not mapped: there is one copy.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, Int, PyTree, Real

from ... import _checks
from ..._promotion import promoting
from ..._typing import Params, PRNGKey
from ..rows._inputs import Seed, as_arrays, as_key, init_and_shuffle_keys, row_count
from ..training._description import Description
from ..training._repulsion import Repulsion
from ..training._validation import Validation
from ._saved import read_result, write_result

LogJoint = Callable[[Params, PyTree, PyTree], tuple[Float[Array, ""], Float[Array, ""]]]
InitFn = Callable[[PRNGKey], Params]


_STATEFUL = (
    "`init_fn` must not return an `equinox.nn.State`: its running statistics would be trained "
    "like parameters. Lift the module in a NumPyro model, `layers.lift(module, priors, "
    "state=state)`, and use `EnsembleSVI(model, AutoDelta, ...)`, which updates them."
)


class EnsembleState(NamedTuple):
    """The training state of an ensemble.

    Args:
        params: The parameters of all members: a pytree whose arrays have a leading axis of
            members and whose other leaves are shared.
        opt_state: The optimizer states of the members, stacked in the same way.
        steps: The number of steps taken by each member; None if unknown.
        order_key: The random key of the order of rows, the same for all members; None if
            unknown.
        description: The run that the state belongs to; None if unknown. To continue with other
            data or settings on purpose, use ``state._replace(description=None)``.

    Example:
        >>> import jax, optax
        >>> init_fn = lambda key: jax.random.normal(key, (3,))
        >>> state = ensemble_init(init_fn, optax.adam(0.1), ensemble_size=4, seed=0)
        >>> state.params.shape
        (4, 3)
    """

    params: Params
    opt_state: PyTree
    steps: Int[Array, " e"] | None = None
    order_key: Any = None
    description: Description | None = None


class EnsembleResult(NamedTuple):
    """A fitted ensemble.

    Args:
        params: The parameters of all members, stacked along the first axis.
        losses: The loss of each member before each step, shape (members, steps).
        state: The last state, from which `update` continues. It can be used only with the
            model, optimizer and data of its run.
        validation: The scores of held-out rows during training; None if no rows were held out.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> log_joint = lambda w, x, y: (-jnp.sum((y - w * x) ** 2), -(w**2))
        >>> from numpyro_bayeslayers.infer import EnsembleMAP
        >>> ensemble = EnsembleMAP(log_joint, jax.random.normal, optax.sgd(0.1), 4)
        >>> result = ensemble.run(0, 10, jnp.ones(3), jnp.ones(3), progress_bar=False)
        >>> result.params.shape, result.losses.shape
        ((4,), (4, 10))
    """

    params: Params
    losses: Float[Array, "e t"]
    state: Any = None
    validation: Validation | None = None

    def save(self, path: str | Path) -> None:
        """Save the result to a file that `load` can read.

        The file is in the safetensors format with a JSON header: numbers and text, no code. It
        replaces an existing file atomically.

        Args:
            path: The file, in an existing folder.

        Raises:
            FileNotFoundError: If the folder does not exist.
            IsADirectoryError: If `path` is a folder.
            TypeError: If `path` is not a path.
        """
        write_result(path, *self)

    @classmethod
    def load(
        cls, path: str | Path, *, params: Params | None = None, state: Any = None
    ) -> "EnsembleResult":
        """Load a result saved by `save`.

        Parameters in dictionaries, lists and tuples need only `path`. The structure of modules
        and optimizer states is defined by code, which the file does not contain: pass an object
        of the same structure, such as ``state=ensemble.init(0, x, y)``, whose values are
        ignored.

        Args:
            path: The file.
            params: Parameters of the same structure as those in the file, if they contain
                modules.
            state: A state of the same structure as that in the file, to continue training.
                Without it, the ``state`` of the result is None.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If `path` is not a path.
            ValueError: If the file is damaged, of another kind, of a later version or of
                another precision, or its structure or shapes differ.

        Warns:
            UserWarning: If the versions of JAX, NumPyro or this package differ.
        """
        return cls(*read_result(path, params, state))


def check_optimizer(optimizer: Any) -> None:
    """Check that `optimizer` is an optax optimizer (those of NumPyro have other arguments)."""
    has_both = all(callable(getattr(optimizer, name, None)) for name in ("init", "update"))
    if not has_both or hasattr(optimizer, "get_params"):
        given = type(optimizer).__name__
        raise TypeError(
            "`optimizer` must be an optax GradientTransformation such as `optax.adam(1e-2)`, "
            f"got {optimizer!r} ({given})."
        )


def ensemble_init(
    init_fn: InitFn,
    optimizer: optax.GradientTransformation,
    *,
    ensemble_size: int,
    seed: Seed,
) -> EnsembleState:
    """Draw the members' initial parameters and initialize their optimizers.

    Member e starts from ``init_fn(key_e)``, where key_e depends only on `seed` and e: a larger
    ensemble contains the members of a smaller one.

    Args:
        init_fn: A function from a key to the parameters of one member: any pytree, including
            Equinox modules. Floating-point arrays are trained, and so are Python numbers, which
            become arrays; integer and boolean arrays are kept per member but not trained; other
            leaves (functions, strings, booleans) are shared by all members.
        optimizer: An optax optimizer.
        ensemble_size: The number of members, at least 1.
        seed: An integer or a JAX random key.

    Raises:
        TypeError: If `init_fn` cannot be called, or `optimizer` or `seed` has the wrong type.
        ValueError: If `ensemble_size` is below 1, a member has nothing to train, or its
            parameters contain the state of a module (such as running statistics).

    Example:
        >>> import jax, optax
        >>> init_fn = lambda key: {"w": jax.random.normal(key, (3,)), "log_sigma": 0.0}
        >>> state = ensemble_init(init_fn, optax.adam(0.1), ensemble_size=4, seed=0)
        >>> state.params["w"].shape, state.params["log_sigma"].shape
        ((4, 3), (4,))
    """
    _checks.function("init_fn", init_fn)
    ensemble_size = _checks.size("ensemble_size", ensemble_size)
    check_optimizer(optimizer)
    init_key, _ = init_and_shuffle_keys(as_key(seed))
    fold_in = jax.vmap(jax.random.fold_in, in_axes=(None, 0))

    def member(key: PRNGKey) -> EnsembleState:
        return state_at(as_arrays(init_fn(key)), optimizer)

    return eqx.filter_vmap(member)(fold_in(init_key, jnp.arange(ensemble_size)))


def state_at(params: Params, optimizer: optax.GradientTransformation) -> EnsembleState:
    """The initial state of one member with these parameters."""
    is_state = lambda leaf: isinstance(leaf, eqx.nn.State)
    if any(map(is_state, jax.tree.leaves(params, is_leaf=is_state))):
        raise ValueError(_STATEFUL)
    trainable = eqx.filter(params, eqx.is_inexact_array)
    if not jax.tree.leaves(trainable):
        raise ValueError(
            "`init_fn` must return at least one number or floating-point array to "
            f"train, got {params!r}."
        )
    opt_state = as_arrays(optimizer.init(trainable))
    return EnsembleState(params, opt_state, jnp.zeros((), jnp.int32))


def ensemble_loss(
    log_joint: LogJoint,
    *,
    prior_weight: Real[ArrayLike, ""] = 1.0,
    scale: Real[ArrayLike, ""] = 1.0,
) -> Callable[[Params, PyTree, PyTree], tuple[Float[Array, ""], Params]]:
    """The loss of one member and its gradient.

    ``loss = -scale * loglik - prior_weight * logprior``

    Args:
        log_joint: ``log_joint(params, x, y) -> (loglik, logprior)``, both scalars in nats.
        prior_weight: Weight of the log prior, at least 0; at 0 the prior is left out, so that
            even a NaN in it has no effect.
        scale: Weight of the log likelihood, positive: N / B for B of N rows.

    Returns:
        ``loss_fn(params, x_batch, y_batch) -> (loss, grads)`` for the parameters of one
        member; `grads` has None where a leaf of `params` is not trained.

    Raises:
        TypeError: If `log_joint` cannot be called.
        ValueError: If `prior_weight` is negative, `scale` not positive, or, when called, if
            `log_joint` does not return two scalars or the rows of `x_batch` and `y_batch`
            differ.

    Example:
        >>> import jax.numpy as jnp
        >>> log_joint = lambda w, x, y: (-jnp.sum((y - w * x) ** 2), -0.5 * w**2)
        >>> loss, grad = ensemble_loss(log_joint, scale=2.0)(1.0, jnp.ones(3), jnp.zeros(3))
        >>> float(loss), float(grad)
        (6.5, 13.0)
    """
    _checks.function("log_joint", log_joint)
    prior_weight = _checks.non_negative("prior_weight", prior_weight)
    scale = _checks.positive("scale", scale)
    is_traced = isinstance(prior_weight, jax.core.Tracer)
    has_prior = is_traced or bool(prior_weight != 0)

    def loss_fn(params: Params, x_batch: PyTree, y_batch: PyTree) -> Any:
        row_count(x=x_batch, y=y_batch)
        trainable, rest = eqx.partition(as_arrays(params), eqx.is_inexact_array)

        def objective(trainable: Params) -> Float[Array, ""]:
            terms = log_joint(eqx.combine(trainable, rest), x_batch, y_batch)
            loglik, logprior = two_scalars(terms)
            loss = -_like(loglik, scale) * loglik
            if has_prior:
                loss = loss - _like(logprior, prior_weight) * logprior
            return loss

        return jax.value_and_grad(objective)(trainable)

    return loss_fn


def two_scalars(terms: Any) -> tuple[Array, Array]:
    """The two scalars that a `log_joint` returns, checked."""
    if not isinstance(terms, (tuple, list)):
        shape = f" of shape {jnp.shape(terms)}" if eqx.is_array(terms) else ""
        raise ValueError(
            "`log_joint` must return two scalars, (loglik, logprior), got one "
            f"{type(terms).__name__}{shape}."
        )
    shapes = [jnp.shape(term) for term in terms]
    if shapes != [(), ()]:
        raise ValueError(
            "`log_joint` must return two scalars, (loglik, logprior), got "
            f"{len(shapes)} values of shapes {', '.join(map(str, shapes))}. Sum the log "
            "densities over rows and over parameters."
        )
    return jnp.asarray(terms[0]), jnp.asarray(terms[1])


def _pushed(repulsion: Repulsion, params: Params) -> Callable[[Params], Any]:
    """The repulsion term of the loss of one member among these, and its gradient."""

    def features(params: Params) -> Array:
        if repulsion.space == "weights":
            trainable = eqx.filter(params, eqx.is_inexact_array)
            return ravel_pytree(trainable)[0]
        return jnp.ravel(repulsion.function(params, repulsion.rows))

    added = repulsion.against(eqx.filter_vmap(features)(params))

    def pushed(params: Params) -> Any:
        trainable, rest = eqx.partition(params, eqx.is_inexact_array)
        own = lambda some: added(features(eqx.combine(some, rest)))
        return jax.value_and_grad(own)(trainable)

    return pushed


def _like(value: Array, weight: Real[ArrayLike, ""]) -> Array:
    """`weight` in the floating-point type of `value`, which it must not promote."""
    return jnp.asarray(weight, dtype=jnp.result_type(value, float))


def ensemble_step(
    state: EnsembleState,
    x_batch: PyTree,
    y_batch: PyTree,
    *,
    log_joint: LogJoint,
    optimizer: optax.GradientTransformation,
    prior_weight: Real[ArrayLike, ""] = 1.0,
    scale: Real[ArrayLike, ""] = 1.0,
    repulsion: Repulsion | None = None,
) -> tuple[EnsembleState, Float[Array, " e"]]:
    """Take one optimizer step in each member, all on the same rows.

    Args:
        state: From `ensemble_init` or an earlier step.
        x_batch: Rows of the inputs: an array or a pytree of arrays.
        y_batch: The same rows of the outputs.
        log_joint: See `ensemble_loss`.
        optimizer: The optimizer of `ensemble_init`. Optimizers that need the value and the loss
            function (`optax.lbfgs`) receive them.
        prior_weight: See `ensemble_loss`.
        scale: See `ensemble_loss`.
        repulsion: The repulsion between members, from `repulsive`; None for independent
            members.

    Returns:
        The next state, and the losses before the step.

    Raises:
        TypeError: If `log_joint` cannot be called or `optimizer` has the wrong type.
        ValueError: As `ensemble_loss`.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> log_joint = lambda w, x, y: (-jnp.sum((y - w * x) ** 2), -0.5 * w**2)
        >>> state = ensemble_init(lambda key: 1.0, optax.sgd(0.1), ensemble_size=2, seed=0)
        >>> state, losses = ensemble_step(state, jnp.ones(3), jnp.zeros(3),
        ...                               log_joint=log_joint, optimizer=optax.sgd(0.1))
        >>> losses
        Array([3.5, 3.5], dtype=float32)
    """
    check_optimizer(optimizer)
    optimizer = optax.with_extra_args_support(optimizer)
    alone = ensemble_loss(log_joint, prior_weight=prior_weight, scale=scale)
    pushed = None if repulsion is None else _pushed(repulsion, state.params)

    def loss_and_grads(params: Params, x: PyTree, y: PyTree) -> tuple[Array, Params]:
        loss, grads = alone(params, x, y)
        if pushed is None:
            return loss, grads
        more, by = pushed(params)
        return loss + _like(loss, more), jax.tree.map(jnp.add, grads, by)

    def member(state: Any) -> tuple[EnsembleState, Float[Array, ""]]:
        loss, grads = loss_and_grads(state.params, x_batch, y_batch)
        trainable, rest = eqx.partition(state.params, eqx.is_inexact_array)
        value_fn = lambda p: loss_and_grads(eqx.combine(p, rest), x_batch, y_batch)[0]
        more = {"value": loss, "grad": grads, "value_fn": value_fn}
        with promoting():
            updates, opt_state = optimizer.update(grads, state.opt_state, trainable, **more)
        params = eqx.combine(optax.apply_updates(trainable, updates), rest)
        steps = None if state.steps is None else state.steps + 1
        return EnsembleState(params, opt_state, steps), loss

    after, losses = eqx.filter_vmap(member)(EnsembleState(*state[:3]))
    return after._replace(order_key=state.order_key, description=state.description), losses
