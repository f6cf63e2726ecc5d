"""Stochastic gradient MCMC: Langevin and Hamiltonian dynamics on minibatches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, PyTree
from numpyro.handlers import seed
from numpyro.infer import init_to_uniform
from numpyro.infer.util import potential_energy

from .._typing import Model, PRNGKey
from ._kernel import AbstractKernel
from .rows._rows import in_minibatch


class Course(NamedTuple):
    """The schedule of a chain: minibatches, step sizes and cycles.

    Args:
        num_rows: The number of rows N.
        batch_size: The number of rows per step; None for all.
        names: The sites with rows, which are scaled for a minibatch.
        step_size: The step size for one row: a number, or a function of the step.
        friction: The fraction of the momentum lost per step; None for Langevin dynamics.
        cycles: The number of cycles in which the step size decreases to zero along a cosine;
            None for no cycles.
        exploring: The number of steps of each cycle before its first draw; with cycles, these
            are without noise.
        each: The number of steps per draw.
        draws: The number of draws per cycle.
    """

    num_rows: int
    batch_size: int | None
    names: frozenset[str]
    step_size: float | Callable[[Any], Any]
    friction: float | None
    cycles: int | None
    exploring: int
    each: int
    draws: int

    def at(self, step: Array) -> tuple[Array, Array]:
        """The step size for all rows, and the factor of the noise."""
        size = self.step_size(step) if callable(self.step_size) else self.step_size
        size, noise = jnp.asarray(size, float) / self.num_rows, jnp.ones(())
        if self.cycles is None:
            return size, noise
        length = self.exploring + self.each * self.draws
        place = step % length
        falling = 0.5 * (1 + jnp.cos(jnp.pi * place / length))
        return size * falling, jnp.where(place < self.exploring, 0.0, noise)


class StochasticGradientState(NamedTuple):
    """The state of a chain.

    Args:
        i: The number of draws so far.
        z: Unconstrained values by site name.
        momentum: The velocity of each value, for Hamiltonian dynamics.
        potential_energy: The potential energy of all rows at the start of the chain.
        step: The number of steps so far.
        diverging: Whether a value is not finite.
        rng_key: The random key of the next draw.
    """

    i: Array
    z: PyTree
    momentum: PyTree
    potential_energy: Array
    step: Array
    diverging: Array
    rng_key: PRNGKey


class StochasticGradient(AbstractKernel):
    r"""Stochastic gradient Langevin and Hamiltonian dynamics in unconstrained space.

    The updates with step size $\epsilon = $ `step_size` $/ N$ and the stochastic gradient $g$
    of the log density (the likelihood term is N / n times that of n rows drawn with
    replacement) are

    $$z \leftarrow z + \epsilon g + \sqrt{2 \epsilon}\, \xi \quad \text{or} \quad
    v \leftarrow (1 - \alpha) v + \epsilon g + \sqrt{2 \alpha \epsilon}\, \xi, \;
    z \leftarrow z + v$$

    Args:
        model: A NumPyro model, called with rows by argument name.
        course: The schedule of a chain.
    """

    def __init__(self, model: Model, course: Course) -> None:
        super().__init__(model, init_to_uniform)
        self._course = course

    def _log_density(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        course = self._course

        def density(z: PyTree, key: PRNGKey, step: Array) -> Array:
            key_rows, key_model = random.split(key)
            rows, scale = kwargs, 1.0
            if course.batch_size is not None:
                which = random.randint(key_rows, (course.batch_size,), 0, course.num_rows)
                rows = jax.tree.map(lambda x: x[which], kwargs)
                scale = course.num_rows / course.batch_size
            model = in_minibatch(self._model, course.names, scale, step)
            return -potential_energy(seed(model, key_model), args, rows, z)

        return density

    def _first(
        self, fn: Callable[..., Any], key: PRNGKey, z: PyTree
    ) -> StochasticGradientState:
        z = jax.tree.map(jnp.asarray, z)
        none = jnp.zeros((), jnp.int32)
        energy = -fn(z, key, none)
        still = jax.tree.map(jnp.zeros_like, z)
        return StochasticGradientState(
            none, z, still, energy, none, jnp.zeros((), bool), key
        )

    def _draw(
        self, fn: Callable[..., Any], state: StochasticGradientState
    ) -> StochasticGradientState:
        course = self._course
        is_first = state.i % course.draws == 0
        count = course.each + jnp.where(is_first, course.exploring, 0)

        def step(_: Any, carry: Any) -> Any:
            z, momentum, at, key = carry
            key, key_rows, key_noise = random.split(key, 3)
            gradient = jax.grad(fn)(z, key_rows, at)
            z, momentum = self._moved(z, momentum, gradient, at, key_noise)
            return z, momentum, at + 1, key

        start = state.z, state.momentum, state.step, state.rng_key
        z, momentum, at, key = lax.fori_loop(0, count, step, start)
        are_finite = [jnp.isfinite(x).all() for x in jax.tree.leaves(z)]
        return StochasticGradientState(
            state.i + 1,
            z,
            momentum,
            state.potential_energy,
            at,
            ~jnp.stack(are_finite).all(),
            key,
        )

    def _moved(
        self, z: PyTree, momentum: PyTree, gradient: PyTree, at: Array, key: PRNGKey
    ) -> tuple[PyTree, PyTree]:
        """The values and momenta after a step."""
        leaves, structure = jax.tree.flatten(z)
        keys = random.split(key, len(leaves))
        noise = [
            random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)
        ]
        size, share = self._course.at(at)
        friction = self._course.friction
        width = share * jnp.sqrt(2 * size * (1.0 if friction is None else friction))
        kept = 0.0 if friction is None else 1.0 - friction
        change = lambda v, g, e: (kept * v + size * g + width * e).astype(v.dtype)
        noise = jax.tree.unflatten(structure, noise)
        momentum = jax.tree.map(change, momentum, gradient, noise)
        return jax.tree.map(jnp.add, z, momentum), momentum
