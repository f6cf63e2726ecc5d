"""Base class of the MCMC kernels of this package."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import PyTree
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import ParamInfo, initialize_model
from numpyro.util import is_prng_key

from .. import _checks
from .._typing import Model, PRNGKey


class AbstractKernel(MCMCKernel):
    """A NumPyro kernel whose state is a NamedTuple with the draw in its field ``z``.

    Args:
        model: A NumPyro model.
        init_strategy: NumPyro's strategy for initial values, as in NUTS.
    """

    _model: Model

    def __init__(self, model: Model, init_strategy: Callable[..., Any]) -> None:
        _checks.function("model", model)
        self._model = model
        self._init_strategy = _checks.function("init_strategy", init_strategy)
        self._num_warmup = 0
        self._potential_fn_gen: Callable[..., Any] | None = None
        self._postprocess_fn: Callable[..., Any] | None = None

    @property
    def model(self) -> Model:
        """The NumPyro model."""
        return self._model

    @property
    def sample_field(self) -> str:
        """The field of the state that holds the draw."""
        return "z"

    @property
    def default_fields(self) -> tuple[str, ...]:
        """The fields collected by default."""
        return ("z", "diverging")

    def postprocess_fn(
        self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None
    ) -> Any:
        """The function from unconstrained values to the model's sites."""
        if self._postprocess_fn is None:
            return lambda z: z
        return self._postprocess_fn(*model_args, **(model_kwargs or {}))

    def init(
        self,
        rng_key: Any,
        num_warmup: int,
        init_params: PyTree | None,
        model_args: tuple[Any, ...],
        model_kwargs: dict[str, Any] | None,
    ) -> Any:
        """Initialize a chain, or one chain for each of a batch of keys."""
        self._num_warmup = num_warmup
        model_kwargs = model_kwargs or {}
        is_one = is_prng_key(rng_key)
        both = random.split(rng_key) if is_one else jax.vmap(random.split)(rng_key)
        key, key_start = (both[0], both[1]) if is_one else (both[:, 0], both[:, 1])
        found = initialize_model(
            key_start,
            self._model,
            dynamic_args=True,
            init_strategy=self._init_strategy,
            model_args=model_args,
            model_kwargs=model_kwargs,
        )
        self._potential_fn_gen, self._postprocess_fn = found[1], found[2]
        start = found[0] if init_params is None else init_params
        z = start.z if isinstance(start, ParamInfo) else start
        leaves = jax.tree.leaves(z)
        self._check_size(sum(x.size for x in leaves) // (1 if is_one else len(key)))
        first = functools.partial(self._first, self._log_density(model_args, model_kwargs))
        return (first if is_one else jax.vmap(first))(key, z)

    def sample(
        self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None
    ) -> Any:
        """Take one draw in a single chain or in each of several."""
        fn = self._log_density(model_args, model_kwargs or {})
        draw = functools.partial(self._draw, fn)
        return draw(state) if jnp.ndim(state.i) == 0 else jax.vmap(draw)(state)

    def _check_size(self, size: int) -> None:
        """Raise if the kernel cannot sample this number of dimensions."""

    def _log_density(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The log density for these arguments, in the form that the kernel uses."""
        raise NotImplementedError

    def _first(self, fn: Callable[..., Any], key: PRNGKey, z: PyTree) -> Any:
        """The first state of a chain."""
        raise NotImplementedError

    def _draw(self, fn: Callable[..., Any], state: Any) -> Any:
        """The state after the next draw."""
        raise NotImplementedError
