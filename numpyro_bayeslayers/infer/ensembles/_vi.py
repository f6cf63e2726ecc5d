"""Ensembles of variational fits with a weight on the KL divergence."""

from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh
from jaxtyping import Array, Float
from numpyro.infer import Trace_ELBO
from numpyro.infer.elbo import ELBO

from ... import _checks
from ..._typing import Model, PRNGKey
from ...handlers import temper
from ..rows._inputs import Seed
from ..training._ordered import ordered
from ..training._state import EnsembleSVIState
from ._functions import EnsembleResult
from ._svi import EnsembleSVI


class _Tempered(ELBO):
    """An ELBO with a weight on the latent terms of the model and the guide."""

    def __init__(self, loss: ELBO, beta: float | Callable[[Array], Any]) -> None:
        self.inner = ordered(loss)
        self.beta = beta
        super().__init__(loss.num_particles, loss.vectorize_particles)

    def loss_with_mutable_state(
        self,
        rng_key: PRNGKey,
        param_map: dict[str, Array],
        model: Model,
        guide: Model,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        model, guide = temper(model, self.beta), temper(guide, self.beta)
        return self.inner.loss_with_mutable_state(
            rng_key, param_map, model, guide, *args, **kwargs
        )


class EnsembleVI:
    r"""Ensemble of variational fits with a weight on the KL divergence.

    Each member maximizes, with its own guide $q$,

    $$E_q \log p(y \mid \theta) - w\, \mathrm{KL}(q \,\|\, p)$$

    where closed-form divergences of layers are part of the KL term. It wraps an `EnsembleSVI`
    (attribute ``svi``) with this objective in the interface of `EnsembleMAP`.

    Args:
        model_fn: Any NumPyro model.
        guide_fn: An autoguide class, an autoguide, or a guide function; it is not modified.
        optimizer: A NumPyro or optax optimizer.
        ensemble_size: The number of members, at least 1.
        kl_weight: The weight $w$, positive, or a function of the number of steps taken.
        num_particles: Number of draws from the guide per step, at least 1.
        mesh: Devices over which the members are distributed; see `EnsembleSVI`.
        data_axis: The axis of `mesh` over which rows are split; see `EnsembleSVI`.
        precision: Precision of the products of layers; see `handlers.mixed_precision`.

    Raises:
        TypeError: If the model or guide is not callable, or a number has the wrong type.
        ValueError: If a number is out of range.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro.infer.autoguide import AutoNormal
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     with numpyro.plate("data", 5):
        ...         numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> ensemble = EnsembleVI(model, AutoNormal, optax.adam(0.1), 4, kl_weight=0.5)
        >>> result = ensemble.run(0, 20, jnp.ones(5), progress_bar=False)
        >>> result.params["mean_auto_loc"].shape, result.losses.shape
        ((4,), (4, 20))

    References:
        Higgins et al. (2017), "beta-VAE: learning basic visual concepts with a constrained
        variational framework", ICLR, equation 4.
    """

    def __init__(
        self,
        model_fn: Model,
        guide_fn: Any,
        optimizer: Any,
        ensemble_size: int = 16,
        kl_weight: float | Callable[[Array], Any] = 1.0,
        num_particles: int = 1,
        *,
        mesh: Mesh | None = None,
        data_axis: str | None = None,
        precision: str = "float32",
    ) -> None:
        ensemble_size = _checks.size("ensemble_size", ensemble_size)
        num_particles = _checks.size("num_particles", num_particles)
        if not callable(kl_weight):
            kl_weight = _checks.positive("kl_weight", kl_weight)
        loss = _Tempered(Trace_ELBO(num_particles=num_particles), kl_weight)
        of = model_fn, guide_fn, optimizer, loss, ensemble_size
        self.svi = EnsembleSVI(*of, mesh=mesh, data_axis=data_axis, precision=precision)

    def init(self, seed: Seed, *args: Any, **kwargs: Any) -> EnsembleSVIState:
        """Initialize all members; see `EnsembleSVI.init`."""
        return self.svi.init(seed, *args, **kwargs)

    def update(
        self, state: EnsembleSVIState, *args: Any, **kwargs: Any
    ) -> tuple[EnsembleSVIState, Float[Array, " e"]]:
        """Take one step in all members; see `EnsembleSVI.update`."""
        return self.svi.update(state, *args, **kwargs)

    def run(
        self,
        seed: Seed,
        num_epochs: int,
        *args: Any,
        batch_size: int | None = None,
        progress_bar: bool = True,
        **kwargs: Any,
    ) -> EnsembleResult:
        """Initialize all members and take `num_epochs` steps; see `EnsembleSVI.run`."""
        _checks.size("num_epochs", num_epochs)
        return self.svi.run(
            seed,
            num_epochs,
            *args,
            batch_size=batch_size,
            progress_bar=progress_bar,
            **kwargs,
        )
