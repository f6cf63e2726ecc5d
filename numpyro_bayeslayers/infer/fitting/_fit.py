"""A fit in one call."""

from collections.abc import Mapping, Sequence
from typing import Any

from ... import _checks
from ..._threads import ALONE
from ..._typing import Model
from ..training._arguments import part_size
from ..training._callbacks import Callback, checked_callbacks
from ..training._checkpoint import Checkpoint
from ..training._early_stopping import EarlyStopping
from ..training._inputs import Seed, as_key
from ..training._kept import refuse_kept
from ..training._plates import on_all_rows
from ._asked import Asked
from ._categories import categories_of, computed_categories
from ._data import bind, check_takes_y, data_of_fit, sites_of, without_gaps
from ._described import check_kept
from ._fitted import Fit
from ._known_methods import Method, method_of
from ._method import Problem
from ._methods import MCMC, VI
from ._missing import Missing
from ._names import check_names, check_rows
from ._reach import warn_unreached
from ._starts import start_of
from ._tables import opened, reader_of
from ._words import warn_counted_words


def fit(
    model: Model,
    *,
    y: Any = None,
    method: Method | type | str = VI(),
    batch_size: int | None = None,
    num_steps: int | None = None,
    num_epochs: int | None = None,
    seed: Seed = 0,
    progress_bar: bool = True,
    constants: Mapping[str, Any] | None = None,
    missing: Missing | None = None,
    init: Any = None,
    early_stopping: EarlyStopping | None = None,
    validation: Any = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    **data: Any,
) -> Fit:
    """Fit a NumPyro model to data, in one call.

    Minibatches: the rows are shuffled anew for each epoch and each batch is counted for all
    rows, N / `batch_size` times. All batches are full, so one compilation serves them: the
    rows that an epoch has left over for a short batch (N modulo `batch_size`) sit it out.
    Since the order is new in each epoch, each row is as likely as any other to be in a
    step, and the estimate is unbiased.

    A model may subsample in a plate of its own (``numpyro.plate("rows", n,
    subsample_size=k)``), then without `batch_size`. A plate written for rows from outside
    (``numpyro.plate("rows", n, subsample_size=len(x))``) goes with `batch_size` and is not
    counted twice. Predictions are for all rows in either case.

    Missing observations (NaN, None or NA in `y`, masked entries) are an error, unless `missing`
    says what becomes of them. With ``"drop"`` they are left out of the likelihood, and the
    rows keep their number and their places: the posterior, and the ELBO, are those of the
    observations that there are, if whether one is missing does not depend on its value. A
    minibatch still counts N / `batch_size` times, which is unbiased for their sum. With
    ``"impute"`` each is a latent, drawn together with the parameters: the site ``obs_missing``
    (k,) for those of a site ``obs``, in the order of rows. The posterior of the parameters is
    the same; a guide that factorizes makes it too narrow, since it takes parameters and
    imputed values to be independent.

    One warning says how it ended, if there is something to do: divergences, chains that differ,
    a loss that still falls, members that are not finite. `Fit.diagnostics` has the figures.

    Args:
        model: Any NumPyro model with an argument `y` that may be None: then its observed
            site is drawn. It is called with keywords. A model that reads tables
            (`formulas.formula`) needs no data, or other tables as ``data=``.
        y: The observations, one for each row.
        method: `VI`, `MCMC`, `Stein`, `Ensemble`, `Modes`, `SampledEnsemble`, `SGMCMC`,
            `Laplace` or `SWAG` with their options, or a name, ``"vi"``, ``"mcmc"``,
            ``"stein"``, ``"ensemble"``, ``"modes"``, ``"sampled_ensemble"``, ``"sgmcmc"``,
            ``"laplace"``, ``"swag"``, for the defaults.
        batch_size: Rows in a step, at least 1; all rows if None or at least N.
        num_steps: Steps of training, at least 1. Give it or `num_epochs`; `MCMC` takes
            neither.
        num_epochs: Passes over the data, N // `batch_size` steps each; one step if a step
            sees all rows.
        seed: A key or an integer.
        progress_bar: Whether to show progress.
        constants: Further arguments of the model that are no rows, whatever their length.
        missing: ``"drop"`` or ``"impute"`` for observations that are missing; None if there
            are none.
        init: Where to start: another `Fit` of the same sites (at its parameters if the guide
            is the same, by a new optimizer; else at draws of its posterior, the most
            central one for a single start), or a dictionary of values by site, each of the
            site's shape or led by the members, particles or chains. With the ``state`` of the
            `result` of a fit of the same data, guide and optimizer, the fit goes on.
        early_stopping: When a member of `VI`, `Ensemble` or `Modes` stops; its best parameters
            are then those of the fit. ``EarlyStopping(on="validation")`` looks at what is
            held out; it is the only one for `Stein`, whose particles stop together.
        validation: What is not fitted, and scores the fit as it goes (but for `MCMC`): a share of
            the rows, above 0 and below 1, drawn by the seed, or a dictionary of data with
            ``"y"``, read as `data` is. The scores are in `Fit.validation`.
        checkpoint: Where the run is saved as it goes (but for `MCMC`); a fit that finds the file
            goes on from it.
        callbacks: A function of `Progress`, or several, called about twenty times (but for
            `MCMC`); one that returns True ends the fit.
        data: The model's further arguments. Rows are arrays, lists, columns and tables of
            pandas or (through narwhals) of another library, and containers of these, that
            are as long as `y`; all others (strings, numbers, arrays of another length) are
            constants, handed to the model as they are. Rows of pandas are matched by their
            index. Words and other categories become whole numbers, see `Fit.levels`;
            `preprocessing.fit_schema` says how data is read.

    Raises:
        ImportError: If a table needs narwhals, which is not installed.
        TypeError: If an argument is of a wrong kind, or a column holds dates or objects.
        ValueError: If `y` is missing, rows differ in number or in their index, an entry is
            missing, NaN or infinite, the method is unknown or does not keep what the model
            keeps by `numpyro.mutable`, or count steps for a schedule of `temper`, steps are
            given twice, not at all, or to `MCMC`; if `y` is missing in part, and it reaches
            more than observed sites, or is to be imputed under a likelihood of counts or in
            minibatches; if a name is neither an option nor
            an argument of the model; if `init` or a checkpoint is of another model or run; if
            a method has no such thing as it is asked for; if a share is held out of rows that
            are not the same alone and among others.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro_bayeslayers.layers import AdaptiveLayer, gaussian_link
        >>> def model(x, y=None):
        ...     return gaussian_link(AdaptiveLayer()("slope", x), y)
        >>> x = jnp.linspace(-1, 1, 20)
        >>> found = fit(model, y=2 * x, x=x, num_steps=10, progress_bar=False)
        >>> found.predict(x=x[:3], num_samples=50).samples.shape
        (50, 3)

    References:
        Hoffman, Blei, Wang and Paisley (2013), "Stochastic variational inference", JMLR 14,
        equation 29, for minibatches; Rubin (1976), "Inference and missing data", Biometrika
        63, for when what is missing may be left out.
    """
    with ALONE:
        reader = reader_of(model)
        model, y, data = opened(model, y, data)
        check_takes_y(model)
        check_names(model, [*data, *(constants or {})], fit)
        progress_bar = _checks.switch("progress_bar", progress_bar)
        way, key = method_of(method), as_key(seed)
        check_kept(way)
        around = early_stopping, validation, checkpoint, checked_callbacks(callbacks)
        asked = Asked(start_of(init), *around).check(type(way).__name__)
        known, held = asked.divide(data_of_fit(y, data, constants, missing), key)
        check_rows(known.schema.rows, Fit.predict)
        size = part_size(batch_size, known.num_rows)
        if isinstance(way, MCMC):
            _check_no_steps(batch_size, num_steps, num_epochs)
            steps = None
        else:
            steps = _steps(num_steps, num_epochs, known.num_rows, size)
        sites = sites_of(bind(model, known), known)
        if not isinstance(way, VI):
            kind = f"`method`={type(way).__name__}()"
            refuse_kept(sites.kept, kind, "VI() or Ensemble()")
        model, sites = without_gaps(missing, model, known, sites, in_parts=size is not None)
        whole = on_all_rows(bind(model, known), known.num_rows)
        counts = categories_of(whole, known.rows)
        known = known.with_codes(counts)
        if held is not None:
            known.schema.with_codes(counts, held)
        asked = asked.with_held(known, held, sites.observed)
        problem = Problem(model, known, sites, size, steps, key, progress_bar, missing)
        problem = problem._replace(asked=asked, reader=reader)
        warn_counted_words(whole, known.rows, known.schema, stacklevel=2)
        warn_unreached(problem, stacklevel=2)
        with computed_categories(known.rows):
            posterior = way._run(problem)
            # What it started at, and the rows held out, are let go.
            found = Fit(problem._replace(asked=Asked()), way, posterior)
        found._ending.warn(stacklevel=2)
        return found


def _check_no_steps(
    batch_size: int | None, num_steps: int | None, num_epochs: int | None
) -> None:
    if batch_size is not None:
        raise ValueError(
            f"`batch_size` must be left out with MCMC, which sees all rows in each step, got "
            f"{batch_size}. For minibatches take VI()."
        )
    if num_steps is not None or num_epochs is not None:
        raise ValueError(
            "`num_steps` and `num_epochs` must be left out with MCMC. Its length is "
            "MCMC(num_warmup=500, num_samples=1000)."
        )


def _steps(
    num_steps: int | None, num_epochs: int | None, num_rows: int, size: int | None
) -> int:
    """The number of steps, given one way or the other."""
    if (num_steps is None) == (num_epochs is None):
        given = "neither" if num_steps is None else f"{num_steps} and {num_epochs}"
        raise ValueError(
            f"Give either `num_steps` or `num_epochs`, got {given}. `num_steps=2000` is a "
            "start."
        )
    if num_steps is not None:
        return _checks.size("num_steps", num_steps)
    return _checks.size("num_epochs", num_epochs) * (num_rows // (size or num_rows))
