"""Ensembles of variational fits of any NumPyro model."""

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
from ..training._arguments import Arguments, check_finite, part_scale, take_apart
from ..training._callbacks import Callback
from ..training._checkpoint import Checkpoint
from ..training._early_stopping import EarlyStopping, select
from ..training._guides import fitted
from ..training._identity import check_state, program_of
from ..training._inputs import Seed, as_key
from ..training._layout import Layout
from ..training._member import Member
from ..training._program import Programs
from ..training._repulsion import Repulsion, check_repulsion
from ..training._state import EnsembleSVIState, named, plain
from ._functions import EnsembleResult
from ._predictive import Predictor
from ._rows_of_fit import FittedRows, Told
from ._svi_run import Options, known_values, run_on_rows, run_on_stream


class EnsembleSVI:
    r"""Variational inference in many members at once, as one compiled program.

    Member $e$ minimizes the objective of its own parameters $\phi_e$ on the same data: what
    $E$ separate `numpyro.infer.SVI` with keys ``jax.random.split(rng_key, E)`` do, and to
    float precision their numbers. ``model`` and ``guide`` of this object are the plated
    ones (`handlers.ensemble`), for `Predictive`, `log_likelihood` and other tools of
    NumPyro; the parameters of a result are theirs.

    The object compiles its functions once for each shape of its arguments and keeps them.
    All that a step needs is in the state, a pytree of arrays that lead with the members.

    Args:
        model: Any NumPyro model. It is written for one member.
        guide: An autoguide class, `functools.partial` of one, an autoguide, or a guide
            function. An autoguide is copied. `AutoLaplaceApproximation` computes its posterior at
            the end, as ``auto_scale_tril``; `AutoDAIS`, which needs data to draw, is refused.
        optim: A NumPyro or optax optimizer, with a state for each member.
        loss: The objective; any ELBO of NumPyro.
        num_members: The number of members E, at least 1.
        name: The name of the plate of ``model`` and ``guide``.
        mesh: Devices of one or all processes to lay the members out over: a mesh with an axis
            ``"ensemble"``, of a size that divides `num_members`.
        data_axis: Another axis of `mesh`, over which rows are split; None for all rows in each.
        precision: ``"bfloat16"`` for products of layers; see `handlers.mixed_precision`.
        repulsion: What pushes members apart, of `repulsive`; it is part of their losses.

    Raises:
        TypeError: If model or guide cannot be called, or `loss` is no ELBO.
        ValueError: If `num_members` is below 1 or does not go with the mesh, or for such a guide.

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
        """The plated guide, once `init` or `run` has set it up.

        Raises:
            RuntimeError: Before `init` or `run`.
        """
        guide = fitted(self._programs.latest.member.guide)
        return ensemble(guide, self.num_members, name=self._name)

    def init(self, rng_key: Seed, *args: Any, **kwargs: Any) -> EnsembleSVIState:
        """Start all members, each from its own draw; a state of `SVI` that leads with them.

        Args:
            rng_key: A key or an integer.
            args: Arguments of the model and the guide.
            kwargs: Keyword arguments likewise.
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
        """Take one step in all members, compiled; `state` stays usable.

        Args:
            state: From `init` or an earlier `update`.
            args: Arguments of the model and the guide; a minibatch, for instance.
            num_rows: The rows of the data that the rows given here stand for: each site that
                grows with the rows is scaled by their ratio. None if these are all rows.
            kwargs: Keyword arguments of the model and the guide.

        Returns:
            The next state, and the losses of before the step.

        Raises:
            ValueError: If `num_rows` is less than the rows given, or as `run`.
        """
        with ALONE:
            parts = self._programs.layout.data(take_apart(args, kwargs))
            scale = 1.0 if num_rows is None else part_scale(num_rows, parts.num_rows)
            program = self._programs.get(parts, parts.num_rows, num_rows=num_rows)
            return program.update(state, parts.rows, parts.shared, scale)

    def get_params(self, state: EnsembleSVIState) -> dict[str, Array]:
        """The members' parameters by site name, in their constrained space.

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
        """Start some members again, from a fresh key; the others go on as they are.

        Args:
            rng_key: A key or an integer, other than that of the first start.
            state: A state of all members: ``result.state``, say.
            members: Their numbers, from 0.
            args: Arguments of the model and the guide.
            kwargs: Keyword arguments likewise.

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
        """Start all members and take `num_steps` steps in each.

        The result is that of `init` and as many calls of `update`. A member that turns NaN
        or infinite does not touch the others and is named in a warning; `restart` gives it
        another chance.

        Args:
            rng_key: A key or an integer; decides the members' starts and the order of rows.
                Not read with an `init_state`, which has its own.
            num_steps: The number of steps, at least 1; with `init_state`, of further ones.
            args: Arguments of the model and the guide.
            batch_size: Rows in a step, at least 1; all rows if None or at least their
                number N. Rows are the entries of all arrays whose first axis is as long as
                that of the first array. Sites that are sums over rows are scaled by
                N / batch_size; a few rows are compared to find them. All members see the
                same rows. Leave it out where the model subsamples in its own plate.
            progress_bar: Whether to show progress and the mean loss over members.
            init: Where to start, with an optimizer and keys that are new: an `EnsembleResult`
                or a `Fit` of the same model and guide, of as many members or of one; or a
                dictionary of values by site, each of the site's shape or led by the members, in
                the site's own space: of latent sites under autoguides with a median, and of
                parameters. Sites that are left out start as they would.
            init_state: Where to go on: the ``state`` of an earlier result of the same model,
                guide, optimizer, loss and data. Two runs are then one of as many steps, in
                minibatches too: the rows go on where they stopped.
            early_stopping: Stop each member when its loss no longer falls, or the score of what
                is held out no longer rises; its best parameters are those of the result.
            validation: Rows that are held out and scored as the run goes, see `Validation`: a
                share of the rows, above 0 and below 1, drawn by the key (with `init_state`, by
                the same one again); or the arguments with other rows, a dictionary by name
                or the tuple of the positional ones.
            checkpoint: Save the run as it goes; a run that finds its file goes on from it.
            callbacks: A function of `Progress`, or several, called about twenty times; one
                that returns True ends the run.
            kwargs: Keyword arguments of the model and the guide.

        Returns:
            Parameters by site name, losses of each member at each step, and the last state.

        Raises:
            TypeError: If a number is not an integer, or `rng_key` is not a key.
            ValueError: If a number is out of range, an array holds NaN or infinite entries
                (mark missing ones by a mask, and fill them with any number), an observation
                is outside its support, minibatches are asked for without rows, of rows
                that see each other or that the model chooses, or under a guide with
                parameters for each; if `init`, `init_state` or a checkpoint is of another
                run: the error says what differs; if a share is held out of rows that are not
                the same alone and among others.
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
        """Take one step for each batch, of data that is not in memory; one size compiles once.

        Args:
            rng_key: A key or an integer; decides the members' starts.
            batches: Gives the positional arguments of each step, a tuple.
            num_rows: The rows that all data has: a batch counts for all of them.
            progress_bar: Whether to show progress.
            init_state: Where to start: a state of the same model, guide, optimizer and loss.
            kwargs: Keyword arguments of the model and the guide, alike in all steps.

        Raises:
            ValueError: If there is no batch, one has more rows than `num_rows`, or
                `init_state` is of another run.
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
        """Draw from the posterior predictive of all members, for all rows at once.

        Latent sites that have a value for each row: rows whose arguments are those of a row of
        the fit have its values, all others new ones, drawn from the prior at the draw of the
        other sites.

        Args:
            rng_key: A key or an integer.
            result: From `run`.
            args: Arguments of the model, without the observed values.
            num_samples: Draws from each member's guide, at least 1. All rows of one draw
                come from the same weights.
            batch_size: Rows at a time; models that look across rows cannot be cut. If None all
                rows at once, unless that would take over 2 GiB beside the result: then some
                members at a time, and rows that may be cut if one member takes so much.
            return_sites: Names of sites; all sites that grow with the rows if None.
            statistic: Reduces the draws of each block, (draws, members, rows, ...) to
                (rows, ...): ``lambda y: y.mean((0, 1))``, say. Then only its result is kept.
            new_rows: Whether all rows are new ones, though they may equal rows of the fit;
                False if none may be. Read if a latent site has a value for each row.
            kwargs: Keyword arguments of the model.

        Returns:
            Values by site name, (num_samples, members, *site), or what `statistic` makes.

        Raises:
            ValueError: If a number is below 1, there is no such site, rows cannot be cut, or
                latent values of rows cannot be told apart or taken without those of others,
                the result is of another model or guide, or an argument is left out that the
                fit had, an offset say, and on which predictions depend.
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
        """Posterior draws as data of ArviZ (see `Fit.to_arviz`), each member a chain.

        Args:
            result: From `run`.
            args: Arguments of the model and the guide.
            num_samples: Draws from each member's guide, at least 1.
            seed: A key or an integer.
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
