"""Microcanonical Langevin samplers of blackjax as NumPyro kernels."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree
from numpyro.infer import init_to_uniform
from numpyro.infer.hmc_util import warmup_adapter

from .. import _checks
from .._typing import Model, PRNGKey
from ._kernel import AbstractKernel
from ._mclmc_tuning import (
    JUMP,
    Tuning,
    begin,
    blackjax_parts,
    excess_of,
    measured,
    settled,
    variance_at,
)

_SIZE = (
    "{name} needs at least 2 latent dimensions, got {size}, because its momentum is a unit "
    "vector. Use NUTS."
)


class MCLMCState(NamedTuple):
    """The state of a chain of `MCLMC` or `AdjustedMCLMC`.

    Args:
        i: The number of draws so far, including warm-up.
        z: Unconstrained values by site name.
        potential_energy: The negative log density at `z`.
        z_grad: The gradient of the log density, as a flat vector.
        momentum: The unit momentum, as a flat vector.
        num_steps: Number of integrator steps in the last draw.
        energy_change: The energy change: for `MCLMC`, the root mean square over the steps of
            the draw; for `AdjustedMCLMC`, that of the proposal.
        accept_prob: The acceptance probability of the last proposal; 1 for `MCLMC`.
        mean_accept_prob: Its running mean, restarted after the warm-up.
        diverging: Whether the integrator failed in the last draw or the energy jumped: such a
            step is rejected, and the chain continues in a new direction.
        adapt_state: The tuning: ``step_size``, ``inverse_mass_matrix``, ...
        rng_key: The random key of the next draw.
    """

    i: Array
    z: PyTree
    potential_energy: Array
    z_grad: Array
    momentum: Array
    num_steps: Array
    energy_change: Array
    accept_prob: Array
    mean_accept_prob: Array
    diverging: Array
    adapt_state: Any
    rng_key: PRNGKey


def _direction(key: PRNGKey, flat: Array) -> Array:
    """A uniformly distributed unit vector."""
    normal = random.normal(key, flat.shape, flat.dtype)
    return normal / jnp.linalg.norm(normal)


class AbstractMCLMC(AbstractKernel):
    """Base class of the two samplers: checks, the first state, the state after a draw."""

    def __init__(self, model: Model, init_strategy: Callable[..., Any]) -> None:
        super().__init__(model, init_strategy)
        blackjax_parts(type(self).__name__)

    def _check_size(self, size: int) -> None:
        if size < 2:
            raise ValueError(_SIZE.format(name=type(self).__name__, size=size))

    def _log_density(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._potential_fn_gen is None:
            raise RuntimeError(
                f"`{type(self).__name__}.sample` needs a call of `init` first."
            )
        potential = self._potential_fn_gen(*args, **kwargs)
        return lambda z: -potential(z)

    def _first(self, fn: Callable[..., Any], key: PRNGKey, z: PyTree) -> MCLMCState:
        key, key_momentum = random.split(key)
        flat, unravel = ravel_pytree(z)
        value, grad = jax.value_and_grad(lambda x: fn(unravel(x)))(flat)
        zero = jnp.zeros((), flat.dtype)
        return MCLMCState(
            i=jnp.zeros((), jnp.int32),
            z=z,
            potential_energy=-value,
            z_grad=grad,
            momentum=_direction(key_momentum, flat),
            num_steps=jnp.zeros((), jnp.int32),
            energy_change=zero,
            accept_prob=zero,
            mean_accept_prob=zero,
            diverging=jnp.zeros((), bool),
            adapt_state=self._tuning(flat),
            rng_key=key,
        )

    def _next(self, state: MCLMCState, accept_prob: Array, **new: Any) -> MCLMCState:
        """The state after a draw."""
        i = state.i + 1
        n = jnp.where(i <= self._num_warmup, i, i - self._num_warmup)
        mean = state.mean_accept_prob + (accept_prob - state.mean_accept_prob) / n
        return state._replace(i=i, accept_prob=accept_prob, mean_accept_prob=mean, **new)

    def _tuning(self, flat: Array) -> Any:
        raise NotImplementedError

    def _draw(self, fn: Callable[..., Any], state: MCLMCState) -> MCLMCState:
        raise NotImplementedError


class MCLMC(AbstractMCLMC):
    r"""Microcanonical Langevin Monte Carlo, for `numpyro.infer.MCMC` and `EnsembleMCMC`.

    The chain moves at constant speed in a direction $u$ that the gradient rotates,

    $$\dot x = u, \qquad \dot u = \frac{(I - u u^\top)\, \nabla \log p(x)}{d - 1} +
    \text{noise}$$

    so each integrator step costs one or two gradients. Steps are not rejected, except for a
    step whose energy change is at least ten target standard deviations. The warm-up tunes the
    step size, the scales of the coordinates and the decoherence length of the momentum as in
    the reference; it needs about 2,000 integrator steps. The step size biases the draws: with
    the default `energy_variance`, variances are a few percent too small. `AdjustedMCLMC` has no
    such bias. The sampler is meant for high-dimensional posteriors, such as those of neural
    networks.

    Args:
        model: A NumPyro model with at least two latent dimensions.
        num_steps: Number of integrator steps per draw, at least 1.
        energy_variance: The target variance of the energy change in a step, per dimension:
            smaller values are slower and less biased.
        warmup_energy_variance: The target at the start of the warm-up, from which it decreases
            geometrically to `energy_variance`: a larger value explores more of the posterior.
            By default `energy_variance`.
        adapt_mass_matrix: Whether the warm-up estimates a scale for each coordinate. Neural
            networks may do better without it, since their chains have not explored the
            posterior by then.
        init_strategy: NumPyro's strategy for initial values, as in NUTS.

    Raises:
        ImportError: If blackjax is not installed.
        TypeError: If an argument is not a number, or `model` is not callable.
        ValueError: If a number is out of range, or the model has only one latent dimension.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist
        >>> from numpyro.infer import MCMC
        >>> def model():
        ...     numpyro.sample("x", dist.Normal(0, 1).expand([10]).to_event(1))
        >>> mcmc = MCMC(MCLMC(model), num_warmup=100, num_samples=200, progress_bar=False)
        >>> mcmc.run(jax.random.key(0))
        >>> mcmc.get_samples()["x"].shape
        (200, 10)

    References:
        Robnik, De Luca, Silverstein, Seljak (2023), "Microcanonical Hamiltonian Monte
        Carlo", JMLR 24, section 3 and appendix for the tuning; Robnik and Seljak (2024),
        "Fluctuation without dissipation: microcanonical Langevin Monte Carlo", AABI.
    """

    def __init__(
        self,
        model: Model,
        *,
        num_steps: int = 10,
        energy_variance: float = 5e-4,
        warmup_energy_variance: float | None = None,
        adapt_mass_matrix: bool = True,
        init_strategy: Callable[..., Any] = init_to_uniform,
    ) -> None:
        super().__init__(model, init_strategy)
        self._num_steps = _checks.size("num_steps", num_steps)
        first = (
            energy_variance if warmup_energy_variance is None else warmup_energy_variance
        )
        self._energy_variance = float(_checks.positive("energy_variance", energy_variance))
        self._adapt_mass_matrix = _checks.switch("adapt_mass_matrix", adapt_mass_matrix)
        self._first_variance = float(_checks.positive("warmup_energy_variance", first))

    def get_diagnostics_str(self, state: MCLMCState) -> str:
        """The text for the progress bar."""
        tuning = state.adapt_state
        return f"step size {tuning.step_size:.2e}, length {tuning.length:.2e}"

    def _tuning(self, flat: Array) -> Tuning:
        return begin(flat)

    def _draw(self, fn: Callable[..., Any], state: MCLMCState) -> MCLMCState:
        integrators, mclmc = blackjax_parts("MCLMC")[:2]
        kernel = mclmc.build_kernel()
        flat, unravel = ravel_pytree(state.z)
        density = lambda x: fn(unravel(x))
        total = self._num_warmup * self._num_steps

        def step(j: Any, carry: Any) -> Any:
            place, tuning, squares, failed, key = carry
            key, key_step, key_turn = random.split(key, 3)
            now = tuning.inverse_mass_matrix, tuning.length, tuning.step_size
            end, info = kernel(key_step, place, density, *now)
            change = info.energy_change
            at = state.i * self._num_steps + j
            wanted = variance_at(at, total, self._first_variance, self._energy_variance)
            excess = excess_of(change, info.nonans, flat.size, wanted)
            is_jump = ~info.nonans | (excess > JUMP)
            turned = place._replace(momentum=_direction(key_turn, flat))
            place = jax.tree.map(lambda a, b: jnp.where(is_jump, a, b), turned, end)
            seen = measured(tuning, at, total, place.position, excess)
            seen = settled(seen, at, total, self._adapt_mass_matrix)
            tuning = jax.tree.map(lambda a, b: jnp.where(at < total, a, b), seen, tuning)
            squares = squares + jnp.where(is_jump, 0.0, jnp.square(change))
            return place, tuning, squares, failed | is_jump, key

        place = integrators.IntegratorState(
            flat, state.momentum, -state.potential_energy, state.z_grad
        )
        zero, never = jnp.zeros((), flat.dtype), jnp.zeros((), bool)
        first = place, state.adapt_state, zero, never, state.rng_key
        place, tuning, squares, failed, key = lax.fori_loop(0, self._num_steps, step, first)
        return self._next(
            state,
            jnp.ones((), flat.dtype),
            z=unravel(place.position),
            potential_energy=-place.logdensity,
            z_grad=place.logdensity_grad,
            momentum=place.momentum,
            num_steps=jnp.full((), self._num_steps, jnp.int32),
            energy_change=jnp.sqrt(squares / self._num_steps),
            diverging=failed,
            adapt_state=tuning,
            rng_key=key,
        )


class AdjustedMCLMC(AbstractMCLMC):
    r"""Microcanonical Hamiltonian Monte Carlo with a Metropolis step, which removes the bias.

    A proposal is the end of a trajectory at constant speed, with a new random direction and a
    uniformly distributed number of steps. It is accepted with probability $\min(1, e^{-\Delta
    E})$. The warm-up adapts the step size and scales in the same windows as NumPyro's NUTS.

    Args:
        model: A NumPyro model with at least two latent dimensions.
        target_accept_prob: The target acceptance probability of the step size adaptation, above
            0 and below 1.
        length: The mean trajectory length, in units of $\sqrt d$ in scaled coordinates.
        max_steps: The largest number of steps of a trajectory.
        init_strategy: NumPyro's strategy for initial values, as in NUTS.

    Raises:
        ImportError: If blackjax is not installed.
        TypeError: If an argument is not a number, or `model` is not callable.
        ValueError: If a number is out of range, or the model has only one latent dimension.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist
        >>> from numpyro.infer import MCMC
        >>> def model():
        ...     numpyro.sample("x", dist.Normal(0, 1).expand([10]).to_event(1))
        >>> mcmc = MCMC(AdjustedMCLMC(model), num_warmup=100, num_samples=200,
        ...             progress_bar=False)
        >>> mcmc.run(jax.random.key(0))
        >>> mcmc.get_samples()["x"].shape
        (200, 10)

    References:
        Robnik, Cohn-Gordon, Seljak (2025), "Metropolis adjusted microcanonical Hamiltonian
        Monte Carlo", arXiv:2503.01707.
    """

    def __init__(
        self,
        model: Model,
        *,
        target_accept_prob: float = 0.9,
        length: float = 1.3,
        max_steps: int = 1000,
        init_strategy: Callable[..., Any] = init_to_uniform,
    ) -> None:
        super().__init__(model, init_strategy)
        self._target = _checks.share("target_accept_prob", target_accept_prob)
        self._length = float(_checks.positive("length", length))
        self._max_steps = _checks.size("max_steps", max_steps)

    def get_diagnostics_str(self, state: MCLMCState) -> str:
        """The text for the progress bar."""
        return (
            f"{state.num_steps} steps of size {state.adapt_state.step_size:.2e}. "
            f"acc. prob={state.mean_accept_prob:.2f}"
        )

    def _adapter(self) -> Any:
        return warmup_adapter(self._num_warmup, target_accept_prob=self._target)

    def _tuning(self, flat: Array) -> Any:
        start, _ = self._adapter()
        size = 0.25 * jnp.sqrt(jnp.asarray(flat.size, flat.dtype))
        found = start((flat,), random.key(0), size, mass_matrix_size=flat.size)
        return found._replace(rng_key=None)

    def _draw(self, fn: Callable[..., Any], state: MCLMCState) -> MCLMCState:
        *_, dynamic = blackjax_parts("AdjustedMCLMC")
        kernel = dynamic.build_kernel(
            integration_steps_fn=lambda key, most: random.randint(key, (), 1, most + 1)
        )
        flat, unravel = ravel_pytree(state.z)
        tuning = state.adapt_state
        key, key_step, key_length = random.split(state.rng_key, 3)
        place = dynamic.DynamicHMCState(
            flat, -state.potential_energy, state.z_grad, key_length
        )
        # Uniform from 1, so the largest length is twice the mean.
        longest = 2 * self._length * jnp.sqrt(flat.size) / tuning.step_size
        most = jnp.clip(jnp.ceil(longest), 1, self._max_steps).astype(jnp.int32)
        place, info = kernel(
            key_step,
            place,
            lambda x: fn(unravel(x)),
            tuning.step_size,
            inverse_mass_matrix=tuning.inverse_mass_matrix,
            integration_steps_params=(most,),
        )
        accept = jnp.nan_to_num(info.acceptance_rate)
        z = unravel(place.position)
        _, adapt = self._adapter()
        tuning = lax.cond(
            state.i < self._num_warmup,
            lambda t: adapt(state.i, accept, (place.position,), t),
            lambda t: t,
            tuning,
        )
        return self._next(
            state,
            accept,
            z=z,
            potential_energy=-place.logdensity,
            z_grad=place.logdensity_grad,
            num_steps=info.num_integration_steps,
            energy_change=-jnp.log(jnp.maximum(accept, jnp.finfo(flat.dtype).tiny)),
            diverging=info.is_divergent,
            adapt_state=tuning,
            rng_key=key,
        )
