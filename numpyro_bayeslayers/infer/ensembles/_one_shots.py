"""Functions that build and fit an ensemble in one call."""

from collections.abc import Callable, Sequence
from typing import Any

import optax
from jaxtyping import Array, ArrayLike, Float, PyTree, Real

from ... import _checks
from ..._typing import Model, Params
from ..rows._inputs import Seed
from ..training._callbacks import Callback
from ..training._checkpoint import Checkpoint
from ..training._early_stopping import EarlyStopping
from ._functions import InitFn, LogJoint
from ._map import EnsembleMAP
from ._vi import EnsembleVI


def ensemble_map(
    log_joint: LogJoint,
    init_fn: InitFn,
    *,
    ensemble_size: int,
    num_epochs: int,
    data: tuple[PyTree, PyTree],
    seed: Seed,
    batch_size: int | None = None,
    learning_rate: float = 0.005,
    prior_weight: Real[ArrayLike, ""] = 1.0,
    optimizer: optax.GradientTransformation | None = None,
    progress_bar: bool = True,
    init: Any = None,
    early_stopping: EarlyStopping | None = None,
    validation: Any = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Callback | Sequence[Callback] = (),
) -> tuple[Params, Float[Array, "e t"]]:
    """Fit an ensemble in one call; see `EnsembleMAP`.

    Args:
        log_joint: ``log_joint(params, x, y) -> (loglik, logprior)``, both scalars in nats.
        init_fn: ``init_fn(key) -> params`` of one member.
        ensemble_size: The number of members, at least 1.
        num_epochs: The number of optimizer steps, at least 1.
        data: The pair ``(x, y)``.
        seed: An integer or a JAX random key.
        batch_size: Number of rows per step; all rows if None.
        learning_rate: Learning rate of `optax.adam`, positive; ignored if `optimizer` is given.
        prior_weight: Weight of the log prior, at least 0; at 0 the prior is left out.
        optimizer: An optax optimizer; ``optax.adam(learning_rate)`` if None.
        progress_bar: Whether to show progress and the mean loss over members.
        init: Initial values; this and the following arguments are as in `EnsembleMAP.run`.
        early_stopping: When to stop each member.
        validation: Held-out rows; callbacks receive their scores.
        checkpoint: Where to save the run at intervals.
        callbacks: Functions of `Progress`.

    Returns:
        The stacked parameters, and the losses of each member at each step.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `learning_rate` is not positive, or as `EnsembleMAP` and its `run`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> log_joint = lambda w, x, y: (-0.5 * jnp.sum((y - w * x) ** 2), -0.5 * w**2)
        >>> params, losses = ensemble_map(log_joint, jax.random.normal, ensemble_size=4,
        ...     num_epochs=500, data=(jnp.ones(3), jnp.ones(3)), seed=0, learning_rate=0.1,
        ...     progress_bar=False)
        >>> [f"{w:.3f}" for w in params], losses.shape
        (['0.750', '0.750', '0.750', '0.750'], (4, 500))

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), "Simple and scalable predictive
        uncertainty estimation using deep ensembles", NeurIPS, Algorithm 1.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        given = (
            f"{type(data).__name__} of {len(data)}"
            if hasattr(data, "__len__")
            else repr(data)
        )
        raise ValueError(f"`data` must be the pair (x, y), got {given}.")
    if optimizer is None:
        optimizer = optax.adam(_checks.positive("learning_rate", learning_rate))
    ensemble = EnsembleMAP(log_joint, init_fn, optimizer, ensemble_size, prior_weight)
    x, y = data
    result = ensemble.run(
        seed,
        num_epochs,
        x,
        y,
        batch_size=batch_size,
        progress_bar=progress_bar,
        init=init,
        early_stopping=early_stopping,
        validation=validation,
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    return result.params, result.losses


def ensemble_vi(
    model_fn: Model,
    guide_fn: Any,
    *,
    ensemble_size: int,
    num_epochs: int,
    data: tuple[Any, ...],
    seed: Seed,
    kl_weight: float | Callable[[Array], Any] = 1.0,
    learning_rate: float = 0.005,
    optimizer: Any = None,
    num_particles: int = 1,
    batch_size: int | None = None,
    progress_bar: bool = True,
    init: Any = None,
    early_stopping: EarlyStopping | None = None,
    validation: Any = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Callback | Sequence[Callback] = (),
) -> tuple[dict[str, Array], Float[Array, "e t"]]:
    """Fit an ensemble by variational inference in one call; see `EnsembleVI`.

    Args:
        model_fn: Any NumPyro model, written for one member.
        guide_fn: An autoguide class, an autoguide, or a guide function.
        ensemble_size: The number of members, at least 1.
        num_epochs: The number of optimizer steps, at least 1.
        data: The tuple of positional arguments of the model and the guide.
        seed: An integer or a JAX random key.
        kl_weight: The weight of the KL divergence, positive, or a function of the step.
        learning_rate: Learning rate of `optax.adam`, positive; ignored if `optimizer` is given.
        optimizer: A NumPyro or optax optimizer; ``optax.adam(learning_rate)`` if None.
        num_particles: Number of draws from the guide per step, at least 1.
        batch_size: Number of rows per step; all rows if None.
        progress_bar: Whether to show progress and the mean loss over members.
        init: Initial values; this and the following arguments are as in `EnsembleSVI.run`.
        early_stopping: When to stop each member.
        validation: Held-out rows; callbacks receive their scores.
        checkpoint: Where to save the run at intervals.
        callbacks: Functions of `Progress`.

    Returns:
        The stacked parameters by site name, and the losses of each member at each step.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or as `EnsembleSVI.run`.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> from numpyro.infer.autoguide import AutoDelta
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     with numpyro.plate("data", 5):
        ...         numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> params, losses = ensemble_vi(model, AutoDelta, ensemble_size=3, num_epochs=300,
        ...     data=(jnp.ones(5),), seed=0, learning_rate=0.1, progress_bar=False)
        >>> [f"{m:.2f}" for m in params["mean_auto_loc"]], losses.shape
        (['0.83', '0.83', '0.83'], (3, 300))
    """
    if not isinstance(data, (tuple, list)):
        raise TypeError(
            "`data` must be the tuple of the model's positional arguments, got "
            f"{type(data).__name__}."
        )
    if optimizer is None:
        optimizer = optax.adam(_checks.positive("learning_rate", learning_rate))
    ensemble = EnsembleVI(
        model_fn, guide_fn, optimizer, ensemble_size, kl_weight, num_particles
    )
    result = ensemble.run(
        seed,
        num_epochs,
        *data,
        batch_size=batch_size,
        progress_bar=progress_bar,
        init=init,
        early_stopping=early_stopping,
        validation=validation,
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    return result.params, result.losses
