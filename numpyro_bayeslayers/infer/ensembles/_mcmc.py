"""Ensembles of Markov chains."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree
from numpyro.distributions import biject_to
from numpyro.handlers import seed, trace
from numpyro.infer import MCMC
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import unconstrain_fn

from ... import _checks, _processes
from ..._threads import ALONE
from ..._typing import Model, PRNGKey
from ...handlers._feasible import feasible
from ..compilation._jit import Frame
from ..compilation._recent import Recent, shapes_of
from ..rows._arguments import as_arguments, merged, take_apart
from ..rows._inputs import Seed, as_key
from ..rows._layout import Layout
from ..rows._look import Look
from ..training._given import check_given
from ..training._kept import refuse_kept
from ._chains import Begun, ChainPrograms, Fields, Length, as_mcmc
from ._functions import EnsembleResult


class EnsembleMCMCResult(NamedTuple):
    """Draws of all chains.

    Args:
        samples: Values by site name, (members, draws, *site).
        mcmc: The sampler after the run, for its summary, extra fields, last state and
            `arviz.from_numpyro`.
        centering: The centeredness of reparameterized sites, if `fit` was called with this
            option of `MCMC`.
        falls: Of chains that started at modes (`SampledEnsemble`), by how much the log density
            of the last draw is below that of the mode.

    Example:
        >>> EnsembleMCMCResult(samples={}, mcmc=None).samples
        {}
    """

    samples: dict[str, Array]
    mcmc: MCMC | None
    centering: dict[str, Array] | None = None
    falls: Float[np.ndarray, " members"] | None = None


class EnsembleMCMC:
    """An ensemble of Markov chains with any NumPyro kernel, one chain per member.

    The chains run in one compiled program (``chain_method="vectorized"``). Each has its own
    key, step size, mass matrix and trajectory. Its draws are those of a single
    `numpyro.infer.MCMC` run with its key, ``jax.random.split(rng_key, num_members)[e]``; but a
    step of all chains takes as long as the longest trajectory. (The chains of ensemble kernels,
    `AIES` and `ESS`, are coupled.) Started from a fitted ensemble, each chain explores around
    its member.

    Programs are compiled once for each combination of array shapes and values of other
    arguments, and cached: another run compiles nothing. (Kernels other than HMC and NUTS search
    for initial values eagerly.) The given kernel is not modified.

    Args:
        kernel: A NumPyro kernel, such as ``NUTS(model)``.
        num_warmup: Number of warm-up steps per chain, at least 0.
        num_samples: Draws per chain, at least 1.
        num_members: The number of chains, at least 1.
        thinning: Keep every `thinning`-th draw, as in `numpyro.infer.MCMC`: at least 1 and at
            most `num_samples`.
        mesh: Devices over which the chains are distributed; see `EnsembleSVI`.
        data_axis: The axis of `mesh` over which rows are split; see `EnsembleSVI`.

    Raises:
        TypeError: If `kernel` is not a NumPyro kernel.
        ValueError: If a number is out of range.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> from numpyro.infer import NUTS
        >>> def model(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> chains = EnsembleMCMC(NUTS(model), 5, 10, num_members=3)
        >>> chains.run(0, 1.0, progress_bar=False).samples["mean"].shape
        (3, 10)

    References:
        Hoffman and Gelman (2014), "The no-U-turn sampler", JMLR 15, for the usual kernel.
    """

    def __init__(
        self,
        kernel: MCMCKernel,
        num_warmup: int,
        num_samples: int,
        num_members: int,
        *,
        thinning: int = 1,
        mesh: Mesh | None = None,
        data_axis: str | None = None,
    ) -> None:
        _checks.instance("kernel", kernel, MCMCKernel, "a kernel of numpyro.infer")
        self.kernel = kernel
        self.num_warmup = _checks.count("num_warmup", num_warmup)
        self.num_samples = _checks.size("num_samples", num_samples)
        self.num_members = _checks.size("num_members", num_members)
        self.thinning = _checks.size("thinning", thinning)
        if self.thinning > self.num_samples:
            raise ValueError(
                f"`thinning` must be at most `num_samples`, {self.num_samples}, got {thinning}."
            )
        numbers = self.num_warmup, self.num_samples, self.num_members
        self._layout = Layout.checked(mesh, data_axis, self.num_members)
        self._length = Length(*numbers, self.thinning)
        self._compiled: Recent[ChainPrograms] = Recent()
        self._unconstrained: dict[Frame, Callable[..., dict[str, Array]]] = {}
        self.look = Look(getattr(kernel, "model", None))

    def run(
        self,
        rng_key: Seed,
        *args: Any,
        init: EnsembleResult | PyTree | None = None,
        progress_bar: bool = True,
        extra_fields: Sequence[str] = (),
        **kwargs: Any,
    ) -> EnsembleMCMCResult:
        """Run all chains.

        Args:
            rng_key: A random key or an integer.
            args: Arguments of the kernel's model. Arrays are traced; numbers and strings are
                constants of the program, and another value compiles again.
            init: Initial values, arrays with a leading axis of members: a dictionary of
                (constrained) values by site name, or a fitted ensemble with unconstrained
                parameters (`EnsembleMAP` with `log_joint_of`). For a kernel built from a
                potential function, its own parameters. By default the kernel chooses them.
            progress_bar: Whether to show progress.
            extra_fields: Fields of the kernel's states to collect, as in `MCMC.run`, for
                ``result.mcmc.get_extra_fields(group_by_chain=True)``.
            kwargs: Keyword arguments of the kernel's model.

        Raises:
            TypeError: If `init` is not a dictionary of values by site name.
            ValueError: If the arrays of `init` have no leading axis of members, do not match
                the model's latent sites, or are outside a site's support; if an observation is
                outside the support of its likelihood; or if the model has state that changes
                between steps (`numpyro.mutable`, a schedule of `temper`).
        """
        return self._run(rng_key, args, kwargs, init, progress_bar, tuple(extra_fields))

    def _run(
        self,
        rng_key: Seed,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        init: Any,
        progress_bar: bool,
        extra_fields: tuple[str, ...],
        begun: Begun | None = None,
    ) -> EnsembleMCMCResult:
        """`run`; `begun` is what a trial left to its warm-up."""
        with ALONE:
            progress_bar = _checks.switch("progress_bar", progress_bar)
            args, kwargs = as_arguments(args, kwargs)
            start = init.params if isinstance(init, EnsembleResult) else init
            model = getattr(self.kernel, "model", None)
            parts = take_apart(args, kwargs)
            refuse_kept(self.look.kept(parts), "`EnsembleMCMC`", "`EnsembleSVI`")
            self.look.at_observations(parts)
            self.look.at_layers(parts)
            if start is not None and model is not None:
                is_constrained = not isinstance(init, EnsembleResult)
                start = self._start(start, model, args, kwargs, is_constrained)
            elif start is not None:
                for path, value in jax.tree_util.tree_leaves_with_path(start):
                    self._check_leads(f"`init{jax.tree_util.keystr(path)}`", value)
            key = as_key(rng_key)
            given = {"progress_bar": progress_bar, "extra_fields": extra_fields}
            check_given(self._layout, parts, None, key, given)
            keys = jax.random.split(key, self.num_members)
            if self.num_members > 1:
                keys, start = self._layout.members((keys, start))
            else:  # a single chain of NumPyro has no axis of chains
                keys, start = jax.tree.map(lambda x: x[0], (keys, start))
            frame, fields = Frame((args, kwargs)), Fields.of(self.kernel, extra_fields)
            arrays = merged(self._layout.data(parts))
            programs = self._programs(frame, fields, arrays)
            kept, state = programs.run(keys, start, arrays, progress_bar, begun)
            mcmc = as_mcmc(self.kernel, self._length, args, kwargs, kept, state)
            return EnsembleMCMCResult(mcmc.get_samples(group_by_chain=True), mcmc)

    def _first_positions(
        self,
        rng_key: PRNGKey,
        start: dict[str, Array] | None,
        num_steps: int,
        fields: tuple[str, ...],
        kwargs: dict[str, Any],
        begun: Begun | None,
    ) -> tuple[dict[str, Any], Begun]:
        """See `ChainPrograms.positions`; the programs are those of `run`."""
        keys = jax.random.split(rng_key, self.num_members)
        if self.num_members == 1:
            keys, start = jax.tree.map(lambda x: x[0], (keys, start))
        frame = Frame(((), kwargs))
        arrays = frame.arrays(((), kwargs))
        programs = self._programs(frame, Fields.of(self.kernel, fields), arrays)
        return programs.positions(keys, start, arrays, num_steps, begun)

    def _programs(self, frame: Frame, fields: Fields, arrays: list[Any]) -> ChainPrograms:
        of = self.kernel, self._length, frame, fields, self._layout
        make = lambda: ChainPrograms(*of)
        return self._compiled.get((frame, fields, shapes_of(arrays)), make)

    def _check_leads(self, name: str, value: Any) -> None:
        if jnp.shape(value)[:1] != (self.num_members,):
            raise ValueError(
                f"{name} must have a first axis of the {self.num_members} members, got shape "
                f"{jnp.shape(value)}."
            )

    def _start(
        self,
        start: Any,
        model: Model,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        is_constrained: bool,
    ) -> dict[str, Array]:
        """Unconstrained values of all latent sites, checked."""
        _checks.instance("init", start, dict, "a dictionary of values by site name")
        shapes = _site_shapes(model, args, kwargs, is_constrained)
        if set(start) != set(shapes):
            raise ValueError(
                f"`init` must have values of all latent sites of the model, {sorted(shapes)}, "
                f"got {sorted(start)}."
            )
        for name, shape in shapes.items():
            self._check_leads(f"`init` of the site {name!r}", start[name])
            if jnp.shape(start[name])[1:] != shape:
                raise ValueError(
                    f"`init` of the site {name!r} must have shape "
                    f"{(self.num_members, *shape)}, got {jnp.shape(start[name])}."
                )
        start = {name: jnp.asarray(value, float) for name, value in start.items()}
        if is_constrained:
            frame = Frame((args, kwargs))
            if frame not in self._unconstrained:
                self._unconstrained[frame] = jax.jit(_unconstrain(model, frame))
            start = self._unconstrained[frame](start, frame.arrays((args, kwargs)))
        for name, value in start.items():
            is_bad = ~np.isfinite(_processes.whole(value)).reshape(
                self.num_members, -1
            ).all(1)
            if is_bad.any():
                raise ValueError(
                    f"`init` of the site {name!r} must be finite and inside its support; it is "
                    f"not for the members {np.flatnonzero(is_bad).tolist()}."
                )
        return start


def _unconstrain(model: Model, frame: Frame) -> Callable[..., dict[str, Array]]:
    def unconstrained(values: dict[str, Array], arrays: list[Any]) -> dict[str, Array]:
        seeded = seed(model, jax.random.key(0))
        return jax.vmap(lambda v: unconstrain_fn(seeded, *frame.fill(arrays), v))(values)

    return unconstrained


def _site_shapes(
    model: Model, args: tuple[Any, ...], kwargs: dict[str, Any], is_constrained: bool
) -> dict[str, tuple[int, ...]]:
    """Shapes of the continuous latent sites, without running the model."""
    shapes: dict[str, tuple[int, ...]] = {}

    def run() -> None:
        sites = trace(seed(feasible(model), jax.random.key(0))).get_trace(*args, **kwargs)
        for name, site in sites.items():
            if site["type"] != "sample" or site["is_observed"]:
                continue
            if not site["fn"].support.is_discrete:
                shape = jnp.shape(site["value"])
                inverse = biject_to(site["fn"].support).inverse_shape
                shapes[name] = shape if is_constrained else inverse(shape)

    jax.eval_shape(run)
    return shapes
