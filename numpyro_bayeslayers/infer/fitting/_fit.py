"""A fit in one call, and what can be asked of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from ... import _checks
from ..._typing import Model
from ...preprocessing.schema import Level
from .._arviz import inference_data
from .._reparam import DECENTERED
from ..training._arguments import part_size, take_apart
from ..training._inputs import Seed, as_key
from ..training._plates import on_all_rows
from ..training._rows import row_axes
from ._categories import categories_of, computed_categories
from ._data import bind, check_takes_y, data_of_fit, data_to_predict, sites_of
from ._method import Posterior, Problem
from ._methods import MCMC, VI, Method, method_of
from ._support import check_observations


class Predictions(NamedTuple):
    """Draws of what would be observed, and their summaries.

    Args:
        mean: The mean over draws, in the shape of the observations.
        std: The standard deviation over draws, noise included.
        samples: The draws, (draws, rows, ...).

    Example:
        >>> import jax.numpy as jnp
        >>> draws = jnp.arange(5.0)[:, None] * jnp.ones(3)
        >>> Predictions(draws.mean(0), draws.std(0), draws).quantiles([0.25, 0.75]).shape
        (2, 3)
    """

    mean: Float[Array, "..."]
    std: Float[Array, "..."]
    samples: Num[Array, "draws ..."]

    def quantiles(self, q: float | Sequence[float] | ArrayLike) -> Float[Array, "..."]:
        """The quantiles of each observation over draws.

        Args:
            q: A probability, or several: ``quantiles((0.05, 0.95))`` is a 90% interval.

        Returns:
            In the shape of the observations for one probability; with a first axis of them
            for several, so that ``low, high = predictions.quantiles((0.05, 0.95))``.

        Raises:
            TypeError: If `q` holds no numbers.
            ValueError: If a probability is not from 0 to 1.
        """
        probabilities = np.asarray(_checks.numbers("q", q), float)
        if not np.all((probabilities >= 0) & (probabilities <= 1)):
            raise ValueError(f"`q` must hold probabilities from 0 to 1, got {q}.")
        return jnp.quantile(self.samples.astype(float), jnp.asarray(probabilities), axis=0)


class Fit:
    """A fitted model. `fit` makes it.

    Args:
        problem: What was fitted.
        method: How.
        posterior: What was found.
    """

    def __init__(self, problem: Problem, method: Method, posterior: Posterior) -> None:
        self._problem = problem
        self._posterior = posterior
        self.method = method

    @property
    def params(self) -> dict[str, Array]:
        """The parameters of the guide by site name, members first; none after `MCMC`."""
        return self._posterior.params

    @property
    def levels(self) -> dict[str, tuple[Level, ...]]:
        """The categories of each argument that holds some, in the order of their numbers.

        Columns of a table are named like ``x['store']``. `predict` takes the words again.
        """
        return self._problem.data.schema.levels

    @property
    def losses(self) -> Float[Array, "e t"] | None:
        """The loss of each member at each step; None after `MCMC`.

        After `Stein`: one row, the length of the force on all particles.
        """
        return getattr(self._posterior.result, "losses", None)

    @property
    def result(self) -> Any:
        """What the method below gave: `EnsembleResult`, `EnsembleMCMCResult`, ..."""
        return self._posterior.result

    def predict(
        self,
        *,
        num_samples: int = 1000,
        seed: Seed = 1,
        site: str | None = None,
        batch_size: int | None = None,
        **data: Any,
    ) -> Predictions:
        """Draw from the posterior predictive: what would be observed in new rows.

        Args:
            num_samples: The number of draws, at least 1. Members share them, rounded up;
                after `MCMC` there are at most as many as the chains have, evenly chosen.
            seed: A key or an integer.
            site: The observed site; needed if `y` was observed at several.
            batch_size: Rows at a time: bounds the memory beside the draws.
            data: The arguments of the model without `y`, for any number of rows. Columns of
                tables are found by name, in any order, and categories by their words.
                Constants of the fit need not be given again.

        Raises:
            TypeError: If `num_samples` is no integer, or a column is of another kind than in
                the fit.
            ValueError: If an argument or a column is missing, unknown, or of another row
                count than the others, if an entry is NaN, a level was not in the fit, or it
                is not clear which site is meant.
        """
        num_samples = _checks.size("num_samples", num_samples)
        batch_size = _checks.optional(_checks.size)("batch_size", batch_size)
        name = self._observed(site)
        rows = data_to_predict(self._problem.data, data) | {"y": None}
        with computed_categories(rows):
            draws = self._posterior.draw(
                as_key(seed), rows, num_samples, batch_size, (name,)
            )
            draws = jax.block_until_ready(draws)
        samples = draws[name].reshape(-1, *draws[name].shape[2:])
        values = samples.astype(float)
        return Predictions(values.mean(0), values.std(0), samples)

    def _observed(self, site: str | None) -> str:
        names = self._problem.sites.observed
        if site is not None:
            _checks.one_of("site", site, names)
            return site
        if len(names) != 1:
            raise ValueError(
                f"`site` must be given: `y` is observed at {list(names)}, not at one site."
                if names
                else "No site of the model is observed with `y` and drawn without: nothing "
                "can be predicted. Hand `y` to a site as `obs=y`."
            )
        return names[0]

    def draws(self, *, num_samples: int = 1000, seed: Seed = 2) -> dict[str, Array]:
        """Draws of the posterior: latent sites, and deterministic ones that are no rows.

        Args:
            num_samples: Draws of each member's guide, at least 1; after `MCMC` all draws of
                the chains are given.
            seed: A key or an integer.

        Returns:
            Values by site name, (chains, draws, *site); members and particles are chains.
        """
        num_samples = _checks.size("num_samples", num_samples)
        sites, data = self._problem.sites, self._problem.data
        rows = data.rows | {"y": None}
        model = on_all_rows(self._problem.bound(self._problem.model), data.num_rows)
        parts = take_apart((), rows)
        of_rows = row_axes(model, parts, data.num_rows, data.num_rows + 1)
        # Of the values of rows, those are posterior draws that `autoreparam` computes.
        kept = [
            n for n in sites.computed if n not in of_rows or n + DECENTERED in sites.latent
        ]
        names = tuple(dict.fromkeys([*sites.latent, *kept]))
        samples = self._posterior.samples
        if samples is not None:
            return {name: samples[name] for name in names if name in samples}
        members = jax.tree.leaves(self.params)[0].shape[0]
        found = self._posterior.draw(
            as_key(seed), rows, num_samples * members, data.num_rows, names
        )
        return {name: jnp.swapaxes(x, 0, 1) for name, x in found.items()}

    def summary(self, *, prob: float = 0.9, num_samples: int = 1000, seed: Seed = 2) -> Any:
        """A table of the posterior: one line for each entry of each site.

        Args:
            prob: The probability of the interval between the two quantiles.
            num_samples: As in `draws`.
            seed: A key or an integer.

        Returns:
            A pandas table with the mean, the standard deviation, the median and two
            quantiles; after `MCMC` the effective sample size and the split R-hat.

        Raises:
            ImportError: If pandas is not installed.
            ValueError: If `prob` is not above 0 and below 1.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "`summary` needs pandas: pip install 'numpyro-bayeslayers[estimators]'."
            ) from error
        prob = _checks.share("prob", prob)
        low, high = (1 - prob) / 2, (1 + prob) / 2
        lines, table = [], []
        for name, value in self.draws(num_samples=num_samples, seed=seed).items():
            x = np.asarray(value, float)
            flat = x.reshape(-1, *x.shape[2:])
            columns = {
                "mean": flat.mean(0),
                "std": flat.std(0),
                "median": np.median(flat, 0),
                f"{100 * low:g}%": np.quantile(flat, low, 0),
                f"{100 * high:g}%": np.quantile(flat, high, 0),
            }
            if self._posterior.samples is not None and x.shape[1] >= 4:
                columns |= {
                    "n_eff": effective_sample_size(x),
                    "r_hat": split_gelman_rubin(x),
                }
            for at in np.ndindex(x.shape[2:]):
                lines.append(name + (f"[{','.join(map(str, at))}]" if at else ""))
                table.append({key: float(np.asarray(v)[at]) for key, v in columns.items()})
        return pandas.DataFrame(table, index=pandas.Index(lines, name="site"))

    def to_arviz(self, *, num_samples: int = 1000, seed: Seed = 2) -> Any:
        """The posterior as ArviZ's data; members and particles are chains.

        It is an `InferenceData` of ArviZ below 1, and a tree of xarray from 1 on. After `MCMC`
        the statistics of the sampler are part of it, and the observations.

        Args:
            num_samples: As in `draws`.
            seed: A key or an integer.

        Raises:
            ImportError: If ArviZ is not installed.
        """
        draws = self.draws(num_samples=num_samples, seed=seed)
        was_sampled = self._posterior.samples is not None
        return inference_data(
            {name: jnp.swapaxes(x, 0, 1) for name, x in draws.items()},
            self._posterior.result.mcmc if was_sampled else None,
        )


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

    Args:
        model: Any NumPyro model with an argument `y` that may be None: then its observed
            site is drawn. It is called with keywords.
        y: The observations, one for each row.
        method: `VI`, `MCMC`, `Stein` or `Ensemble` with their options, or a name, ``"vi"``,
            ``"mcmc"``, ``"stein"``, ``"ensemble"``, for the defaults.
        batch_size: Rows in a step, at least 1; all rows if None or at least N.
        num_steps: Steps of training, at least 1. Give it or `num_epochs`; `MCMC` takes
            neither.
        num_epochs: Passes over the data, N // `batch_size` steps each; one step if a step
            sees all rows.
        seed: A key or an integer.
        progress_bar: Whether to show progress.
        constants: Further arguments of the model that are no rows, whatever their length.
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
            missing, NaN or infinite, the method is unknown, steps are given twice, not at
            all, or to `MCMC`.

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
        equation 29, for minibatches.
    """
    check_takes_y(model)
    progress_bar = _checks.switch("progress_bar", progress_bar)
    way = method_of(method)
    known = data_of_fit(y, data, constants)
    size = part_size(batch_size, known.num_rows)
    if isinstance(way, MCMC):
        _check_no_steps(batch_size, num_steps, num_epochs)
        steps = None
    else:
        steps = _steps(num_steps, num_epochs, known.num_rows, size)
    sites = sites_of(bind(model, known), known)
    check_observations(model, known, sites)
    whole = on_all_rows(bind(model, known), known.num_rows)
    known = known.with_codes(categories_of(whole, known.rows))
    problem = Problem(model, known, sites, size, steps, as_key(seed), progress_bar)
    with computed_categories(known.rows):
        return Fit(problem, way, way._run(problem))


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
