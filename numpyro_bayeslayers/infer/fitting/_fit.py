"""`fit`: a model and its data in one call."""

from collections.abc import Mapping, Sequence
from typing import Any

from ... import _checks
from ..._threads import ALONE
from ..._typing import Model
from ..rows._arguments import part_size
from ..rows._inputs import Seed, as_key
from ..rows._plates import on_all_rows
from ..training._callbacks import Callback, checked_callbacks
from ..training._checkpoint import Checkpoint
from ..training._early_stopping import EarlyStopping
from ..training._kept import refuse_kept
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

    Minibatches: the rows are reshuffled in each epoch, and the likelihood of each batch is
    scaled by N / `batch_size`. All batches have the same size, so that the step is compiled
    once: the N modulo `batch_size` rows left over in an epoch are skipped. Because the order
    changes in each epoch, all rows are equally likely to be used, and the estimate is unbiased.

    A model may instead subsample in its own plate (``numpyro.plate("rows", n,
    subsample_size=k)``), without `batch_size`. A plate for minibatches from outside
    (``numpyro.plate("rows", n, subsample_size=len(x))``) works with `batch_size` and is not
    scaled twice. Predictions are for all rows in either case.

    Missing observations (NaN, None or NA in `y`, masked entries) are an error unless `missing`
    is set. With ``"drop"`` they are left out of the likelihood, while the rows keep their
    number and order: the posterior and the ELBO are those given the available observations,
    which is valid if missingness does not depend on the missing value. A minibatch is still
    scaled by N / `batch_size`, which is unbiased for the sum over the available observations.
    With ``"impute"`` each missing observation is a latent variable, inferred together with the
    parameters: the site ``obs_missing`` (k,) for a site ``obs``, in the order of rows. The
    posterior of the parameters is the same, but a factorized guide makes it too narrow, since
    it treats parameters and imputed values as independent.

    A single warning reports problems at the end of the fit: divergences, chains that disagree,
    a loss that is still falling, members that are not finite. `Fit.diagnostics` has the
    figures.

    Args:
        model: Any NumPyro model with an argument `y` that may be None, in which case the
            observed site is sampled. It is called with keyword arguments. A model that reads
            tables (`formulas.formula`) needs no data, or a different table as ``data=``.
        y: The observations, one per row.
        method: `VI`, `MCMC`, `Stein`, `Ensemble`, `Modes`, `SampledEnsemble`, `SGMCMC`,
            `Laplace` or `SWAG` with their options, or a name, ``"vi"``, ``"mcmc"``,
            ``"stein"``, ``"ensemble"``, ``"modes"``, ``"sampled_ensemble"``, ``"sgmcmc"``,
            ``"laplace"``, ``"swag"``, for the defaults.
        batch_size: Rows per step, at least 1; all rows if None or at least N.
        num_steps: Number of training steps, at least 1. Give either this or `num_epochs`;
            `MCMC` takes neither.
        num_epochs: Number of passes over the data, N // `batch_size` steps each; one step each
            if a step uses all rows.
        seed: A random key or an integer.
        progress_bar: Whether to show progress.
        constants: Further arguments of the model that are not rows, whatever their length.
        missing: The treatment of missing observations, ``"drop"`` or ``"impute"``; None if
            there are none.
        init: The start. Another `Fit` of the same sites: the fit starts at its parameters, with
            a new optimizer state, if the guide is the same, and otherwise at draws of its
            posterior, or the most central draw for a single start. A dictionary of values by
            site, each of the site's shape, or with a leading axis of members, particles or
            chains. The ``state`` of the `result` of a fit with the same data, guide and
            optimizer, to continue that fit.
        early_stopping: The rule by which members of `VI`, `Ensemble` or `Modes` stop; the fit
            then has the best parameters of each member. ``EarlyStopping(on="validation")`` uses
            the held-out rows; it is the only rule for `Stein`, whose particles stop together.
        validation: Held-out data that scores the fit during training (not for `MCMC`): a
            fraction of the rows, above 0 and below 1, chosen at random by the seed, or a
            dictionary of data with ``"y"``, in the form of `data`. The scores are in
            `Fit.validation`.
        checkpoint: The file to which the run is saved at intervals (not for `MCMC`); if it
            exists, the fit resumes from it.
        callbacks: One or several functions of `Progress`, called about twenty times (not for
            `MCMC`); if one returns True, the fit ends.
        data: The model's further arguments. Arrays, lists, columns and tables of pandas or
            (through narwhals) of another library, and containers of these, are rows if they are
            as long as `y`; all others (strings, numbers, arrays of another length) are
            constants and are passed unchanged. Rows of pandas are matched by index. Words and
            other categories are encoded as integers, see `Fit.levels`;
            `preprocessing.fit_schema` describes the encoding.

    Raises:
        ImportError: If a table needs narwhals, which is not installed.
        TypeError: If an argument has the wrong type, or a column holds dates or objects.
        ValueError: If `y` is missing; if rows differ in number or index; if an entry is
            missing, NaN or infinite; if the method is unknown, or does not support state
            (`numpyro.mutable`) or a schedule of `temper` in the model; if steps are given
            twice, not at all, or to `MCMC`; if `y` is partly missing and is used outside
            observed sites, or is to be imputed under a likelihood of counts or with
            minibatches; if a name is neither an option nor an argument of the model; if `init`
            or a checkpoint belongs to another model or run; if the method does not support an
            option; if rows are held out of a model in which rows depend on each other.

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
        Hoffman, Blei, Wang, Paisley (2013), "Stochastic variational inference", JMLR 14,
        equation 29, for minibatches; Rubin (1976), "Inference and missing data", Biometrika
        63, for when missing observations may be left out.
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
            # The start and the held-out rows are released.
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
    """The number of steps, from `num_steps` or `num_epochs`."""
    if (num_steps is None) == (num_epochs is None):
        given = "neither" if num_steps is None else f"{num_steps} and {num_epochs}"
        raise ValueError(
            f"Give either `num_steps` or `num_epochs`, got {given}. `num_steps=2000` is a "
            "start."
        )
    if num_steps is not None:
        return _checks.size("num_steps", num_steps)
    return _checks.size("num_epochs", num_epochs) * (num_rows // (size or num_rows))
