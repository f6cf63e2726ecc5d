"""Compiled programs of Markov chains: initialization and steps.

NumPyro's `MCMC` compiles its loop again in each run, and searches initial values in steps that
are compiled one by one. Here both are programs with the arguments' arrays as inputs: the
potential with the data is set up inside the program, so that another run compiles nothing, even
with other data.
"""

import copy
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PyTree
from numpyro.infer import HMC, MCMC
from numpyro.infer.hmc_util import build_adaptation_schedule, dual_averaging
from numpyro.infer.mcmc import MCMCKernel
from numpyro.util import nested_attrgetter
from tqdm.auto import tqdm

from ... import _processes
from ..._promotion import promoting
from .._kernel import AbstractKernel
from ..compilation._jit import Frame
from ..rows._layout import HERE, Layout
from ..training._training_loop import REFRESHES, saying

_NO_START = (
    "No initial values with finite density were found for the chains {chains}. Run the model "
    "in one process to see the possible cause, or give `init`."
)


class Length(NamedTuple):
    """The numbers of steps and chains."""

    num_warmup: int
    num_samples: int
    num_chains: int
    thinning: int = 1

    @property
    def steps(self) -> int:
        """The total number of steps per chain."""
        return self.num_warmup + self.num_samples

    @property
    def begun(self) -> int:
        """The first steps of the warm-up that a trial can stand for.

        In four fifths of the steps before NumPyro learns scales of the coordinates, 75 or 15%.
        """
        return int(0.8 * build_adaptation_schedule(self.num_warmup)[0].end)

    @property
    def kept(self) -> int:
        """The number of draws kept per chain: every `thinning`-th."""
        return self.num_samples // self.thinning


class Begun(NamedTuple):
    """What a trial leaves to the warm-up that goes on from it.

    Args:
        steps: The steps of the warm-up that the trial stands for.
        accepted: The mean acceptance probability of each chain.
        step_size: The step size of each chain; None for that with which the kernel begins.
        variances: The inverse mass matrix by site, a diagonal; None for that of the kernel.
    """

    steps: int
    accepted: Any
    step_size: Any = None
    variances: dict[str, Any] | None = None

    def go_on(self, state: Any) -> Any:
        """A state of HMC as it starts, with these."""
        adapted = state.adapt_state
        if self.variances is not None:
            adapted = _scaled(adapted, self.variances, np.ndim(state.i))
        if self.step_size is not None:
            centers = np.log(10.0) + np.log(self.step_size)  # as NumPyro's start
            search = dual_averaging()[0](centers)
            adapted = adapted._replace(
                step_size=_like(self.step_size, adapted.step_size),
                ss_state=jax.tree.map(_like, search, tuple(adapted.ss_state)),
            )
        return state._replace(
            i=_like(self.steps, state.i),
            mean_accept_prob=_like(self.accepted, state.mean_accept_prob),
            adapt_state=adapted,
        )


def _scaled(adapted: Any, variances: dict[str, Any], axes: int) -> Any:
    """A state of adaptation, of arrays with `axes` leading axes, with an inverse mass matrix."""
    matrices: list[dict[Any, Any]] = [{}, {}, {}]
    for block, old in adapted.inverse_mass_matrix.items():
        own = np.concatenate([np.ravel(variances[name]) for name in block])
        place = np.diag if old.ndim - axes == 2 else np.asarray
        for matrix, power in zip(matrices, (1.0, -0.5, 0.5), strict=True):
            matrix[block] = _like(place(own**power), old)
    names = "inverse_mass_matrix", "mass_matrix_sqrt", "mass_matrix_sqrt_inv"
    return adapted._replace(**dict(zip(names, matrices, strict=True)))


def _like(new: Any, old: Any) -> np.ndarray:
    return np.broadcast_to(np.asarray(new, old.dtype), old.shape)


class Fields(NamedTuple):
    """The fields collected from a kernel's states.

    Args:
        names: The fields, first that of the samples.
        without: Sites left out of the samples.
    """

    names: tuple[str, ...]
    without: tuple[str, ...]

    @classmethod
    def of(cls, kernel: MCMCKernel, extra: tuple[str, ...]) -> "Fields":
        """The default fields of `kernel` and `extra` ones, as in `MCMC.run`."""
        field = kernel.sample_field
        names = dict.fromkeys((field, *kernel.default_fields, *extra))
        mark = f"~{field}."
        without = [n.removeprefix(mark) for n in names if n.startswith(mark)]
        return cls(tuple(n for n in names if not n.startswith(mark)), tuple(without))


class ChainPrograms:
    """Compiled initialization and steps of all chains, for arguments of one structure.

    Args:
        kernel: A NumPyro kernel, which is not modified.
        length: The numbers of steps and chains.
        frame: Arguments that are not arrays.
        fields: The collected fields.
        layout: The placement of chains and rows on devices.
    """

    def __init__(
        self,
        kernel: MCMCKernel,
        length: Length,
        frame: Frame,
        fields: Fields,
        layout: Layout = HERE,
    ) -> None:
        self._length = length
        self._layout = layout

        def begin(keys: Any, start: Any, arrays: list[Any]) -> tuple[MCMCKernel, Any, Any]:
            args, kwargs = frame.fill(arrays)
            fresh = _fresh(kernel)
            state = fresh.init(keys, length.num_warmup, start, args, kwargs)
            state = layout.keep_led(state, length.num_chains)
            return fresh, state, (args, kwargs)

        def init(keys: Any, start: Any, arrays: list[Any]) -> Any:
            return begin(keys, start, arrays)[1]

        def steps(
            state: Any, kept: Any, first: Any, end: Any, keys: Any, start: Any, arrays: Any
        ) -> tuple[Any, Any]:
            # Called for the attributes that the kernel sets; the state is not used. The program
            # is the same for any initial values.
            start = getattr(state, fields.names[0]) if self._is_told else start
            fresh, _, (args, kwargs) = begin(keys, start, arrays)
            collect = _collector(fresh, fields, length.num_chains, args, kwargs)

            def body(i: Any, carry: Any) -> Any:
                state, kept = carry
                with promoting():  # kernels of NumPyro divide numbers of steps
                    state = fresh.sample(state, args, kwargs)
                left_out = length.num_samples % length.thinning
                at = (i - length.num_warmup - left_out) // length.thinning
                # Of draws with the same position, the last is kept.
                put = lambda: jax.tree.map(
                    lambda a, v: a.at[at].set(v), kept, collect(state)
                )
                kept = lax.cond(at >= 0, put, lambda: kept)
                state = layout.keep_led(state, length.num_chains)
                return state, layout.keep_along(kept)

            return lax.fori_loop(first, end, body, (state, kept))

        def empty(keys: Any, start: Any, arrays: list[Any]) -> Any:
            fresh, state, (args, kwargs) = begin(keys, start, arrays)
            return _collector(fresh, fields, length.num_chains, args, kwargs)(state)

        # Only the states of these kernels show whether initial values were found; others must
        # run eagerly to raise an error.
        self._is_told = isinstance(kernel, (HMC, AbstractKernel))
        self._init_as_it_is = init
        self._init = jax.jit(init) if self._is_told else init
        self._steps = jax.jit(steps, donate_argnums=(0, 1))
        self._empty = jax.jit(empty)  # used only for its shapes, which are cached

    def run(
        self,
        keys: Any,
        start: PyTree,
        arrays: list[Any],
        progress_bar: bool,
        begun: Begun | None = None,
    ) -> tuple[dict[str, PyTree], Any]:
        """Run all chains: the collected fields, (draws, chains, ...), and the last states."""
        with saying("compiling the start", progress_bar):
            state = self._start(keys, start, arrays)
        if begun is not None:
            state = begun.go_on(state)
        kept = self._nothing(keys, start, arrays)
        start = None if self._is_told else start
        total = self._length.steps
        chunk = max(total // REFRESHES, 1) if progress_bar else total
        shown = {"desc": "compiling"} if progress_bar else {"disable": True}
        if not _processes.is_first():
            shown = {"disable": True}
        is_shared = self._layout.is_shared
        done = 0 if begun is None else begun.steps
        whole = tqdm(total=total, initial=done, **shown)
        with _processes.losing_none(shared=is_shared), whole as bar:
            for first in range(done, total, chunk):
                end = min(first + chunk, total)
                state, kept = self._steps(state, kept, first, end, keys, start, arrays)
                if progress_bar:
                    is_warmup = first < self._length.num_warmup
                    bar.set_description("warmup" if is_warmup else "sample", refresh=False)
                    bar.set_postfix_str(_told(state), refresh=False)
                    bar.update(end - first)
            if is_shared:
                jax.block_until_ready(state)
        return kept, state

    def positions(
        self,
        keys: Any,
        start: PyTree,
        arrays: list[Any],
        num_steps: int,
        begun: Begun | None = None,
    ) -> tuple[dict[str, Any], Begun]:
        """Positions of HMC chains after each step of the second half of a trial.

        With zero steps, the initial positions.

        Args:
            keys: Those of the chains.
            start: Where they start; None to find it.
            arrays: The arguments of the model.
            num_steps: How many.
            begun: What an earlier trial left.

        Returns:
            Unconstrained values by site, (looks, chains, *site); and what a warm-up can go on
            from.
        """
        state = self._start(keys, start, arrays)
        if begun is not None:
            state = jax.tree.map(_own, begun._replace(steps=0).go_on(state))
        kept = self._nothing(keys, start, arrays)
        found = [] if num_steps else [jax.tree.map(np.array, state.z)]
        half = num_steps // 2
        ends = [half, *range(half + 1, num_steps + 1)] if num_steps else []
        for first, end in itertools.pairwise([0, *ends]):
            state, kept = self._steps(state, kept, first, end, keys, None, arrays)
            if end > half:  # a copy, since the buffers are reused
                found.append(jax.tree.map(np.array, state.z))
        stacked = jax.tree.map(lambda *x: np.stack(x), *found)
        is_one = self._length.num_chains == 1
        led = jax.tree.map(lambda x: x[:, None] if is_one else x, stacked)
        sizes, accepted = state.adapt_state.step_size, state.mean_accept_prob
        return led, Begun(self._length.begun, np.array(accepted), np.array(sizes))

    def _nothing(self, keys: Any, start: PyTree, arrays: list[Any]) -> Any:
        """Arrays for the draws."""
        size = self._length.kept
        shapes = self._empty.eval_shape(keys, start, arrays)
        zeros = lambda x: jnp.zeros((size, *x.shape), x.dtype)
        return self._layout.along(jax.tree.map(zeros, shapes))

    def _start(self, keys: Any, start: PyTree, arrays: list[Any]) -> Any:
        state = self._init(keys, start, arrays)
        if self._is_told and start is None:
            found = np.isfinite(_processes.whole(state.potential_energy))
            if not found.all() and self._layout.is_shared:
                raise RuntimeError(_NO_START.format(chains=np.flatnonzero(~found).tolist()))
            if (
                not found.all()
            ):  # NumPyro raises the error, with warnings about the possible cause
                state = self._init_as_it_is(keys, start, arrays)
        return jax.tree.map(_own, state)


def _own(x: Any) -> Any:
    """A copy, of a stable type, whose buffer the steps may reuse."""
    x = jnp.asarray(x)
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jnp.copy(x) if is_key else jnp.array(x, x.dtype)


def _fresh(kernel: MCMCKernel, known: dict[int, Any] | None = None) -> MCMCKernel:
    """A copy of a kernel and of the kernels inside it, as if it had never run.

    The attributes that a kernel sets in `init` belong to that trace, and HMC applies another
    `vmap` over chains in each `init`.
    """
    known = {} if known is None else known
    if id(kernel) in known:
        return known[id(kernel)]
    twin = known[id(kernel)] = copy.copy(kernel)
    for name, value in vars(kernel).items():
        if isinstance(value, MCMCKernel):
            setattr(twin, name, _fresh(value, known))
        elif isinstance(value, tuple) and any(isinstance(v, MCMCKernel) for v in value):
            inner = (_fresh(v, known) if isinstance(v, MCMCKernel) else v for v in value)
            setattr(twin, name, tuple(inner))
    if hasattr(twin, "_init_fn"):
        vars(twin)["_init_fn"] = None
    return twin


def _collector(
    kernel: MCMCKernel, fields: Fields, num_chains: int, args: Any, kwargs: Any
) -> Callable[[Any], dict[str, PyTree]]:
    """The function from a kernel's state to the collected fields, samples in constrained space."""
    constrain = kernel.postprocess_fn(args, kwargs)

    def collect(state: Any) -> dict[str, PyTree]:
        found = {name: nested_attrgetter(name)(state) for name in fields.names}
        field = fields.names[0]
        values = found[field]
        if num_chains > 1 and jax.tree.leaves(values):
            values = jax.vmap(constrain)(values)
        else:
            values = constrain(values)
            if num_chains > 1:  # a model without latent sites
                spread = lambda x: jnp.broadcast_to(x, (num_chains, *jnp.shape(x)))
                values = jax.tree.map(spread, values)
        if fields.without:
            values = {n: x for n, x in values.items() if n not in fields.without}
        return found | {field: values}

    return collect


def _told(state: Any) -> str:
    rate = getattr(state, "mean_accept_prob", None)
    if rate is None:
        return ""
    return f"mean acceptance probability {_processes.whole(rate).mean():.2f}"


def as_mcmc(
    kernel: MCMCKernel, length: Length, args: Any, kwargs: Any, kept: Any, state: Any
) -> MCMC:
    """A NumPyro `MCMC` object in the state after this run.

    Args:
        kernel: The kernel.
        length: The numbers of steps and chains.
        args: Arguments of its model.
        kwargs: Keyword arguments likewise.
        kept: The collected arrays by field, (draws, chains, ...).
        state: The last states.
    """
    swap = lambda x: jnp.swapaxes(x, 0, 1) if length.num_chains > 1 else x[None]
    mcmc = mcmc_of(copy.copy(kernel), length, args, kwargs, jax.tree.map(swap, kept))
    mcmc._last_state = state
    return mcmc


def mcmc_of(
    kernel: MCMCKernel, length: Length, args: Any, kwargs: Any, fields: dict[str, PyTree]
) -> MCMC:
    """A NumPyro `MCMC` object with the collected arrays, (chains, draws, ...) by field."""
    mcmc = MCMC(
        kernel,
        num_warmup=length.num_warmup,
        num_samples=length.num_samples,
        num_chains=length.num_chains,
        chain_method="vectorized",
        thinning=length.thinning,
    )
    mcmc._states, mcmc._states_flat = fields, None
    mcmc._args, mcmc._kwargs = args, kwargs
    return mcmc
