"""Ensembles of variational fits for any NumPyro model."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float
from numpyro.infer import Trace_ELBO
from numpyro.infer.elbo import ELBO

from ... import _checks
from ..._threads import ALONE
from ..._typing import Model
from ...handlers import ensemble
from ...handlers._mixed_precision import in_precision
from .._arviz import inference_data, of_members
from ..rows._arguments import Arguments, check_finite, part_scale, take_apart
from ..rows._inputs import Seed, as_key
from ..rows._layout import Layout
from ..training._callbacks import Callback
from ..training._checkpoint import Checkpoint
from ..training._early_stopping import EarlyStopping, select
from ..training._guides import fitted
from ..training._identity import check_state, program_of
from ..training._member import Member
from ..training._program import Programs
from ..training._repulsion import Repulsion, check_repulsion
from ..training._state import EnsembleSVIState, named, plain
from ._functions import EnsembleResult
from ._predictive import Predictor
from ._rows_of_fit import FittedRows, Told
from ._svi_run import Options, known_values, run_on_rows, run_on_stream


class EnsembleSVI:
    r"""Ensemble of variational fits, trained in one compiled program.

    Member $e$ minimizes the objective with its own parameters $\phi_e$ on the same data. Up to
    rounding, the result equals that of $E$ separate `numpyro.infer.SVI` runs with the keys
    ``jax.random.split(rng_key, E)``. The attributes ``model`` and ``guide`` are plated versions
    (`handlers.ensemble`) for use with the parameters of a result in `Predictive`,
    `log_likelihood` and other NumPyro tools.

    The object compiles its functions once for each shape of the arguments and caches them. The
    state of the training is a pytree of arrays with a leading axis of members.

    Args:
        model: Any NumPyro model, written for one member.
        guide: An autoguide class, `functools.partial` of one, an autoguide (which is copied),
            or a guide function. `AutoLaplaceApproximation` computes its posterior at the end,
            as ``auto_scale_tril``; `AutoDAIS`, whose draws need data, is not supported.
        optim: A NumPyro or optax optimizer, with a state for each member.
        loss: The objective: any NumPyro ELBO.
        num_members: The number of members E, at least 1.
        name: The name of the plate in ``model`` and ``guide``.
        mesh: Devices over which the members are distributed, of one or all processes: a mesh
            with an axis ``"ensemble"`` whose size divides `num_members`.
        data_axis: Another axis of `mesh` over which rows are split; None to replicate them.
        precision: ``"bfloat16"`` for the products of layers; see `handlers.mixed_precision`.
        repulsion: The repulsion between members, from `repulsive`, added to their losses.

    Raises:
        TypeError: If the model or guide is not callable, or `loss` is not an ELBO.
        ValueError: If `num_members` is below 1 or does not fit the mesh, or for such a guide.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro.infer.autoguide import AutoNormal
        >>> def model(x, y=None):
        ...     w = numpyro.sample("w", dist.Normal(0, 1).expand([2]).to_event(1))
        ...     with numpyro.plate("data", x.shape[0]):
        ...         numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)
        >>> fit = EnsembleSVI(model, AutoNormal, optax.adam(0.1), num_members=4)
        >>> x = jnp.ones((10, 2))
        >>> result = fit.run(0, 50, x, jnp.ones(10), progress_bar=False)
        >>> result.losses.shape
        (4, 50)
        >>> fit.predict(1, result, x, num_samples=3)["y"].shape
        (3, 4, 10)

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), "Simple and scalable predictive uncertainty
        estimation using deep ensembles", NeurIPS.
    """

    def __init__(
        self,
        model: Model,
        guide: Any,
        optim: Any,
        loss: ELBO = Trace_ELBO(),
        num_members: int = 16,
        *,
        name: str = "ensemble",
        mesh: Mesh | None = None,
        repulsion: Repulsion | None = None,
        data_axis: str | None = None,
        precision: str = "float32",
    ) -> None:
        _checks.function("model", model)
        _checks.function("guide", guide)
        model = in_precision(model, precision)
        _checks.instance("loss", loss, ELBO, "an ELBO of numpyro.infer")
        num_members = _checks.size("num_members", num_members)
        layout = Layout.checked(mesh, data_axis, num_members)
        self.num_members = num_members
        self.model = ensemble(model, num_members, name=name)
        self._name = _checks.label("name", name)
        self._is_quiet = False
        check_repulsion(repulsion, num_members, "EnsembleSVI")
        make_member = lambda: Member(model, guide, optim, loss, repulsion)
        self._programs = Programs(make_member, num_members, layout)
        self._predictor, self._fitted = Predictor(layout), FittedRows(model)

    @property
    def guide(self) -> Model:
        """The plated guide, set up by `init` or `run`.

        Raises:
            RuntimeError: Before `init` or `run`.
        """
        guide = fitted(self._programs.latest.member.guide)
        return ensemble(guide, self.num_members, name=self._name)

    def init(self, rng_key: Seed, *args: Any, **kwargs: Any) -> EnsembleSVIState:
        """Initialize all members, each with its own key.

        Args:
            rng_key: A JAX random key or an integer.
            args: Positional arguments of the model and the guide.
            kwargs: Keyword arguments of the model and the guide.
        """
        with ALONE:
            parts = take_apart(args, kwargs)
            program = self._programs.get(parts, parts.num_rows)
            return self._programs.start(program, as_key(rng_key), parts)

    def update(
        self,
        state: EnsembleSVIState,
        *args: Any,
        num_rows: int | None = None,
        **kwargs: Any,
    ) -> tuple[EnsembleSVIState, Float[Array, " e"]]:
        """Take one compiled step in all members; `state` remains usable.

        Args:
            state: From `init` or an earlier `update`.
            args: Arguments of the model and the guide, such as a minibatch.
            num_rows: The number of rows of the full data, if a minibatch is given: sites that
                grow with the rows are scaled by the ratio. None if all rows are given.
            kwargs: Keyword arguments of the model and the guide.

        Returns:
            The next state, and the losses before the step.

        Raises:
            ValueError: If `num_rows` is less than the number of given rows, or as in `run`.
        """
        with ALONE:
            parts = self._programs.layout.data(take_apart(args, kwargs))
            scale = 1.0 if num_rows is None else part_scale(num_rows, parts.num_rows)
            program = self._programs.get(parts, parts.num_rows, num_rows=num_rows)
            return program.update(state, parts.rows, parts.shared, scale)

    def get_params(self, state: EnsembleSVIState) -> dict[str, Array]:
        """The members' parameters by site name, in constrained space.

        Raises:
            RuntimeError: Before `init` or `run`.
        """
        return self._programs.latest.params(state)

    def restart(
        self,
        rng_key: Seed,
        state: EnsembleSVIState,
        members: Sequence[int],
        *args: Any,
        **kwargs: Any,
    ) -> EnsembleSVIState:
        """Reinitialize some members with a new key; the others are unchanged.

        Args:
            rng_key: A JAX random key or an integer, different from the first one.
            state: A state of all members, such as ``result.state``.
            members: The indices of the members to restart, from 0.
            args: Positional arguments of the model and the guide.
            kwargs: Keyword arguments of the model and the guide.

        Raises:
            ValueError: If there is no such member.
        """
        wrong = [e for e in members if not 0 <= e < self.num_members]
        if wrong:
            raise ValueError(
                f"`members` must be from 0 to {self.num_members - 1}, got {wrong}."
            )
        is_new = np.isin(np.arange(self.num_members), list(members))
        fresh = self.init(rng_key, *args, **kwargs)
        check_state(self._programs.latest, state)
        after = jax.jit(select)(is_new, plain(fresh), plain(state))
        return named(after, state, getattr(state, "description", None))

    def run(
        self,
        rng_key: Seed,
        num_steps: int,
        *args: Any,
        batch_size: int | None = None,
        progress_bar: bool = True,
        init: Any = None,
        init_state: EnsembleSVIState | None = None,
        early_stopping: EarlyStopping | None = None,
        validation: Any = None,
        checkpoint: Checkpoint | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        **kwargs: Any,
    ) -> EnsembleResult:
        """Initialize all members and take `num_steps` steps in each.

        The result equals that of `init` and `num_steps` calls of `update`. A member that
        becomes NaN or infinite does not affect the others, and a warning names it; use
        `restart` to train it again.

        Args:
            rng_key: A JAX random key or an integer, for the members' initial values and the
                order of rows. Ignored with `init_state`, which has its own keys.
            num_steps: The number of steps, at least 1; with `init_state`, of additional steps.
            args: Positional arguments of the model and the guide.
            batch_size: Number of rows per step, at least 1; all N rows if None or at least N.
                Row arrays are those with the same first dimension as the first array. Sites
                that are sums over rows are scaled by N / batch_size; they are found by
                comparing a few rows. All members use the same rows. Leave it out if the model
                subsamples in its own plate.
            progress_bar: Whether to show progress and the mean loss over members.
            init: Initial values, with new optimizer states and keys: an `EnsembleResult` or a
                `Fit` of the same model and guide, with as many members or with one; or a
                dictionary of (constrained) values by site, with or without a leading axis of
                members, for latent sites (with autoguides that have a median) and parameters.
                Other sites keep their default initial values.
            init_state: The ``state`` of an earlier result with the same model, guide,
                optimizer, loss and data, to continue from. Two runs then equal one longer run,
                also with minibatches, whose order continues.
            early_stopping: Stop each member when its loss no longer decreases, or when its
                score on held-out rows no longer increases. The result has its best parameters.
            validation: Held-out rows that are scored during the run, see `Validation`: a
                fraction of the rows, above 0 and below 1, drawn with the key (with
                `init_state`, the same rows again); or arguments with other rows, by name or as
                a tuple.
            checkpoint: Save the run at intervals; a run resumes from an existing file.
            callbacks: A function of `Progress`, or a list of them, called about twenty times;
                the run ends if one returns True.
            kwargs: Keyword arguments of the model and the guide.

        Returns:
            Parameters by site name, the loss of each member at each step, and the last state.

        Raises:
            TypeError: If a number is not an integer, or `rng_key` is not a key or an integer.
            ValueError: If a number is out of range, an array contains NaN or infinite entries
                (mask missing entries and fill them with any number), or an observation is
                outside its support; if minibatches or a held-out fraction are not possible,
                because there are no row arrays, rows depend on each other, the model subsamples
                rows, or the guide has parameters for each row; if `init`, `init_state` or a
                checkpoint belongs to another run.
        """
        _checks.size("num_steps", num_steps)
        check_finite(args, kwargs)
        parts = take_apart(args, kwargs)
        how = batch_size, progress_bar, init, init_state, early_stopping, validation
        asked, key = Options(*how, checkpoint, callbacks, self._is_quiet), as_key(rng_key)
        result, fitted = run_on_rows(self._programs, key, num_steps, parts, asked)
        self._fitted.note(result.params, fitted)
        return result

    def run_batches(
        self,
        rng_key: Seed,
        batches: Iterable[tuple[Any, ...]],
        *,
        num_rows: int,
        progress_bar: bool = True,
        init_state: EnsembleSVIState | None = None,
        **kwargs: Any,
    ) -> EnsembleResult:
        """Take one step per batch, for data not in memory; each batch size compiles once.

        Args:
            rng_key: A JAX random key or an integer, for the members' initial values.
            batches: An iterable with the tuple of positional arguments of each step.
            num_rows: The number of rows of all data, to which batches are scaled.
            progress_bar: Whether to show progress.
            init_state: A state of the same model, guide, optimizer and loss, to continue from.
            kwargs: Keyword arguments of the model and the guide, the same in all steps.

        Raises:
            ValueError: If there is no batch, one has more rows than `num_rows`, or `init_state`
                belongs to another run.
        """
        _checks.size("num_rows", num_rows)

        def checked() -> Iterator[Arguments]:
            for batch in batches:
                check_finite(tuple(batch), kwargs)
                yield take_apart(tuple(batch), kwargs)

        return run_on_stream(
            self._programs,
            as_key(rng_key),
            checked(),
            num_rows=num_rows,
            progress_bar=progress_bar,
            init_state=init_state,
        )

    def predict(
        self,
        rng_key: Seed,
        result: EnsembleResult,
        *args: Any,
        num_samples: int = 100,
        batch_size: int | None = None,
        return_sites: Sequence[str] | None = None,
        statistic: Callable[[Float[Array, "..."]], Float[Array, "..."]] | None = None,
        new_rows: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Array]:
        """Draw from the posterior predictive distribution of all members.

        For latent sites with a value per row, a row whose arguments equal those of a row of the
        fit has its values; other rows get new values, drawn from the prior given the other
        sites.

        Args:
            rng_key: A JAX random key or an integer.
            result: From `run`.
            args: Arguments of the model, without the observed values.
            num_samples: Number of draws from each member's guide, at least 1. All rows of a
                draw have the same weights.
            batch_size: Number of rows at a time; not possible for models in which rows depend
                on each other. If None, all rows at once, unless this needs over 2 GiB besides
                the result: then members, and if necessary rows, are processed in blocks.
            return_sites: Names of sites; if None, all sites that grow with the rows.
            statistic: A function that reduces the draws of each block, (draws, members, rows,
                ...), to (rows, ...), such as ``lambda y: y.mean((0, 1))``; only this is stored.
            new_rows: True if all rows are new, even if they equal rows of the fit; False if
                none may be new. Only for models with a latent value per row.
            kwargs: Keyword arguments of the model.

        Returns:
            Values by site name, (num_samples, members, *site), or the results of `statistic`.

        Raises:
            ValueError: If a number is below 1, a site does not exist, rows cannot be split into
                blocks, latent values per row are ambiguous or depend on other rows, the result
                is of another model or guide, or an argument of the fit on which predictions
                depend (such as an offset) is missing.
        """
        num_samples = _checks.size("num_samples", num_samples)
        batch_size = _checks.optional(_checks.size)("batch_size", batch_size)
        sites = None if return_sites is None else tuple(return_sites)
        drawn = program_of(self._programs, result).member.drawn
        parts = take_apart(args, kwargs)
        is_new = _checks.optional(_checks.switch)("new_rows", new_rows)
        self._fitted.check_complete(result.params, parts)
        told = Told(self._fitted.of(result.params), is_new)
        how = num_samples, batch_size, sites, statistic, told
        return self._predictor(drawn, known_values(result), as_key(rng_key), parts, *how)

    def to_arviz(
        self,
        result: EnsembleResult,
        *args: Any,
        num_samples: int = 1000,
        seed: Seed = 0,
        **kwargs: Any,
    ) -> Any:
        """Posterior draws as ArviZ data (see `Fit.to_arviz`), with each member as a chain.

        Args:
            result: From `run`.
            args: Positional arguments of the model and the guide.
            num_samples: Number of draws from each member's guide, at least 1.
            seed: A JAX random key or an integer.
            kwargs: Keyword arguments of the model and the guide.

        Raises:
            ImportError: If ArviZ is not installed.
            ValueError: If `num_samples` is below 1, or the result is of another model or guide.
        """
        _checks.size("num_samples", num_samples)
        drawn = program_of(self._programs, result).member.drawn
        parts, key = take_apart(args, kwargs), as_key(seed)
        values = known_values(result)
        draws = self._predictor.posterior(drawn, values, key, parts, num_samples)
        return inference_data({"posterior": of_members(draws)})
