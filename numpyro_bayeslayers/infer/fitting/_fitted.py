"""The result of `fit`."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from ... import _checks
from ..._threads import ALONE
from ...preprocessing.schema import Level
from .._arviz import inference_data
from .._reparam import DECENTERED
from ..ensembles._rows_of_fit import Fitted, Told
from ..rows._arguments import take_apart
from ..rows._inputs import Seed, as_key
from ..training._validation import Validation
from ._diagnostics import Diagnostics, Ending
from ._groups import groups_of
from ._known_methods import Method
from ._labels import is_base
from ._laws import log_mean
from ._method import Posterior, Problem
from ._new_levels import NewLevels
from ._predicting import (
    Asked,
    How,
    check_rows_lead,
    observed_site,
    predicted,
    predictions_of,
    rows_of_sites,
    site_of_rows,
)
from ._predictions import Predictions
from ._saved import write_fit
from ._summary import check_pandas, summary_of


class Fit:
    """A fitted model, returned by `fit`.

    Args:
        problem: The fitted problem.
        method: The method of the fit.
        posterior: The posterior found by the method.
    """

    def __init__(self, problem: Problem, method: Method, posterior: Posterior) -> None:
        self._problem = problem
        self._posterior = posterior
        self.method = method
        self._found = problem, method, posterior
        self._ending = Ending(method, posterior, problem)

    @property
    def params(self) -> dict[str, Array]:
        """The guide's parameters by site name, members first; empty after `MCMC`."""
        return self._posterior.params

    @property
    def levels(self) -> dict[str, tuple[Level, ...]]:
        """The categories of each categorical argument, in the order of their codes.

        Columns of a table are named like ``x['store']``. `predict` takes the categories
        themselves, not their codes.
        """
        return self._problem.data.schema.levels

    @property
    def losses(self) -> Float[Array, "e t"] | None:
        """The loss of each member at each step; None after `MCMC`.

        After `Stein` there is one row: the norm of the force on all particles.
        """
        return getattr(self._posterior.result, "losses", None)

    @property
    def validation(self) -> Validation | None:
        """The scores of held-out rows during training; None if no rows were held out."""
        return getattr(self._posterior.result, "validation", None)

    @property
    def result(self) -> Any:
        """The result of the underlying method: `EnsembleResult`, `EnsembleMCMCResult`, ..."""
        return self._posterior.result

    def __reduce__(self) -> Any:
        raise TypeError(
            "A fit cannot be pickled: it holds compiled programs. Keep it by "
            "`found.save(path)`, and read it by `infer.load(path, model)`."
        )

    def save(self, path: str | Path) -> None:
        """Save the fit to a file; `load` reads it, also in another process.

        The file is in the safetensors format with a JSON header: it contains numbers and text,
        but no code. It holds the results (parameters and losses, or all draws), the fitted rows
        (which `draws` and `to_arviz` use), the constants, the columns and levels of the data,
        and the options of the method. It is written atomically: an existing file is replaced
        only when the new one is complete on disk.

        Args:
            path: The file, in an existing folder.

        Raises:
            FileNotFoundError: If the folder does not exist.
            IsADirectoryError: If `path` is a folder.
            TypeError: If `path` is not a path.
        """
        write_fit(path, self._problem, self.method, self._posterior)

    def predict(
        self,
        *,
        num_samples: int = 1000,
        seed: Seed = 1,
        site: str | None = None,
        batch_size: int | None = None,
        new_rows: bool | None = None,
        new_levels: NewLevels | None = None,
        **data: Any,
    ) -> Predictions:
        """Draw from the posterior predictive distribution of new rows.

        Predictions of labels also include the probability of each label,
        `Predictions.probabilities`, and the most probable label, `Predictions.mode`.

        If a latent site has a value for each row, fitted rows use their own values, and new
        rows use draws from the prior. A row counts as fitted if all its arguments equal those
        of a row of the fit. A row that equals several fitted rows is an error, unless all rows
        of the fit are given in their original order.

        Members, particles or chains that are not finite are excluded from these and all other
        draws, with a warning that lists them.

        Args:
            num_samples: The number of draws, at least 1. They are split evenly over members,
                rounded up. After `MCMC` they are an evenly spaced subset of the draws of the
                chains, and at most all of them.
            seed: A random key or an integer.
            site: A site with an axis of rows: observed, deterministic, or latent with a value
                for each row. If None, the observed site; required if `y` was observed at
                several sites.
            batch_size: Number of rows predicted at a time, which limits the memory needed
                besides the draws; results for a few rows are checked first. If None, all rows
                are predicted at once unless that would take more than 2 GiB, see
                `EnsembleSVI.predict`.
            new_rows: True to treat all rows as new even if they equal fitted rows; False if all
                rows must be fitted rows. Used only if a latent site has a value for each row.
            new_levels: The treatment of levels that were not in the fit, for arguments of a
                `RandomEffectsLayer`, a `RandomSlopesLayer` or an `EmbeddingLayer`: ``"draw"``
                draws the effect of each new level from the population distribution, shared by
                all rows of that level within a draw; ``"mean"`` uses the population mean. If
                None, new levels are an error.
            data: The arguments of the model without `y`, for any number of rows. Columns of
                tables are matched by name, in any order, and categories by value. Constants of
                the fit may be omitted, and so may arguments that no draw depends on, such as
                weights and masks of observations.

        Raises:
            TypeError: If `num_samples` is not an integer, or a column has a different type from
                that in the fit.
            ValueError: If an argument or a column is missing, unknown, or has a different
                number of rows; if an entry is NaN, or a level was not in the fit; if the choice
                of the site is ambiguous; if `batch_size` is given and rows of the model depend
                on each other; if rows with latent values are ambiguous, or their values cannot
                be used without those of other rows; or if no member is finite.
        """
        with ALONE:
            self._posterior.finite.warn_left_out(stacklevel=2)
            name = site_of_rows(self._problem, site)
            how = How(num_samples, seed, batch_size, new_rows, new_levels)
            return predictions_of(*self._found, name, how, data)

    def expected(
        self,
        *,
        num_samples: int = 1000,
        seed: Seed = 1,
        site: str | None = None,
        batch_size: int | None = None,
        new_rows: bool | None = None,
        new_levels: NewLevels | None = None,
        **data: Any,
    ) -> Predictions:
        """Draw the mean of the likelihood in new rows: the regression curve, without noise.

        Args:
            num_samples: As in `predict`.
            seed: As in `predict`; the same seed gives the same posterior draws.
            site: The observed site; required if `y` was observed at several sites.
            batch_size: As in `predict`.
            new_rows: As in `predict`.
            new_levels: As in `predict`.
            data: As in `predict`.

        Raises:
            TypeError: As `predict`.
            ValueError: As `predict`, and if the likelihood has no mean, as for class labels and
                the Cauchy distribution.
        """
        with ALONE:
            self._posterior.finite.warn_left_out(stacklevel=2)
            name = observed_site(self._problem.sites, site)
            how = How(num_samples, seed, batch_size, new_rows, new_levels)
            asked = Asked.instead(name, "mean")
            (draws,) = predicted(*self._found, asked, how, data).values()
            return Predictions.of(draws)

    def log_density(
        self,
        *,
        y: Any,
        num_samples: int = 1000,
        seed: Seed = 1,
        site: str | None = None,
        batch_size: int | None = None,
        new_rows: bool | None = None,
        new_levels: NewLevels | None = None,
        **data: Any,
    ) -> Float[Array, " n"]:
        r"""The log predictive density of observations in rows, in nats.

        $$\log \frac{1}{S} \sum_s p(y_i \mid x_i, \theta_s)$$

        where $\theta_s$ are draws from the posterior. Masked rows have 0, and weights are
        ignored. On the rows of the fit this does not measure predictive performance, since they
        were used for training.

        Args:
            y: The observations, one per row, in the form of those of the fit.
            num_samples: As in `predict`.
            seed: As in `predict`.
            site: The observed site; required if `y` was observed at several sites.
            batch_size: As in `predict`.
            new_rows: As in `predict`.
            new_levels: As in `predict`.
            data: All other arguments of the model.

        Raises:
            TypeError: As `predict`.
            ValueError: As `predict`, or if the rows are not the first axis of the site's
                distribution.
        """
        with ALONE:
            self._posterior.finite.warn_left_out(stacklevel=2)
            name = observed_site(self._problem.sites, site)
            how = How(num_samples, seed, batch_size, new_rows, new_levels)
            asked = Asked.instead(name, "density")
            (densities,) = predicted(*self._found, asked, how, data, y).values()
            check_rows_lead(self._problem, name, densities.shape[2:])
            return log_mean(densities)

    def draws(
        self, *, num_samples: int = 1000, seed: Seed = 2, all: bool = False
    ) -> dict[str, Array]:
        """Posterior draws of latent sites, and of deterministic ones without an axis of rows.

        Args:
            num_samples: Draws from each member's guide, at least 1; after `MCMC` all draws of
                the chains are returned.
            seed: A random key or an integer.
            all: Whether to include the sites from which others are computed: the standardized
                coefficients ``beta_base`` of a layer, and the auxiliary sites of `autoreparam`.

        Returns:
            Values by site name, (chains, draws, *site), with members and particles as chains.

        Raises:
            ValueError: If no member is finite.
        """
        return self._draws(num_samples, seed, all)

    def _draws(self, num_samples: int, seed: Seed, all: bool = True) -> dict[str, Array]:
        """As `draws`, for methods only: warnings point to the caller of the method."""
        with ALONE:
            num_samples = _checks.size("num_samples", num_samples)
            finite = self._posterior.finite
            finite.warn_left_out(stacklevel=3)
            sites, data = self._problem.sites, self._problem.data
            rows, of_rows = data.rows | {"y": None}, rows_of_sites(self._problem)
            # Among the values of rows, those computed by `autoreparam` are posterior draws.
            kept = [
                n
                for n in sites.computed
                if n not in of_rows or n + DECENTERED in sites.latent
            ]
            names = tuple(dict.fromkeys([*sites.latent, *kept]))
            if not _checks.switch("all", all):
                names = tuple(n for n in names if not is_base(n, sites.computed))
            samples = self._posterior.samples
            if samples is not None:
                return finite.take(
                    {name: samples[name] for name in names if name in samples}
                )
            count = num_samples * finite.count
            told = Told(Fitted(take_apart((), data.rows)), is_new=False)
            how = count, data.num_rows, names, told
            found = self._posterior.draw(as_key(seed), rows, *how)
            # On the host, which needs no compilation.
            return {
                n: jax.device_put(np.asarray(x).swapaxes(0, 1)) for n, x in found.items()
            }

    def summary(
        self,
        *,
        prob: float = 0.9,
        num_samples: int = 1000,
        seed: Seed = 2,
        all: bool = False,
    ) -> Any:
        """Summarize the posterior in a table with one row per entry of each site.

        Coefficients of columns of a table and of categories are named after these:
        ``price.beta[age]``, ``store.theta[oslo]``.

        Args:
            prob: The probability of the interval between the two quantiles.
            num_samples: As in `draws`.
            seed: A random key or an integer.
            all: As in `draws`.

        Returns:
            A pandas table with the mean, the standard deviation, the median and two quantiles,
            and after `MCMC` also the effective sample size and the split R-hat. Its ``attrs``
            contain the divergences, or each member's Pareto k-hat (see `diagnostics`).

        Raises:
            ImportError: If pandas is not installed.
            ValueError: If `prob` is not between 0 and 1.
        """
        with ALONE:
            check_pandas()
            prob = _checks.share("prob", prob)
            draws = self._draws(num_samples, seed, all)
            are_chains = self._posterior.samples is not None
            labels, header = self._ending.labels, self._ending.header()
            return summary_of(draws, prob, labels, are_chains=are_chains, header=header)

    def diagnostics(self) -> Diagnostics:
        """The diagnostics: divergences, R-hat and energy, or the slope of the loss and k-hat.

        `fit` warns about the figures that are available at its end. K-hat, which measures how
        far a guide is from the posterior, is computed on first use, here or in `summary`: it
        compiles a program of its own and takes as long as 1,000 evaluations of the loss.
        """
        with ALONE:
            return self._ending.diagnostics()

    def to_arviz(
        self,
        *,
        num_samples: int = 1000,
        seed: Seed = 2,
        log_likelihood: bool = True,
        posterior_predictive: bool = True,
    ) -> Any:
        """Convert the fit to ArviZ's data structure, with members and particles as chains.

        The result is an `InferenceData` for ArviZ below 1 and an xarray tree from 1 on. Its
        groups are ``posterior``, ``log_likelihood``, ``posterior_predictive``,
        ``observed_data`` and ``constant_data``, and after `MCMC` ``sample_stats``: the input of
        ``arviz.loo``, ``compare``, ``plot_ppc`` and ``summary``. All groups use the same draws.
        Axes are named ``chain``, ``draw``, ``row``, and after the columns and categories of
        coefficients, such as ``x_column`` and ``town_level``. Chains keep their numbers if some
        are excluded. Missing and masked rows are omitted from the groups of observations. A
        slash in the name of a site becomes a dot in ArviZ 1, which does not allow slashes.

        All draws of a point guide (``"delta"``, `Stein`) are identical. Then the members or
        particles are the draws of a single chain.

        Args:
            num_samples: As in `draws`.
            seed: A random key or an integer.
            log_likelihood: Whether to compute the log likelihood of each row for each draw; the
                memory grows with their product. Weights of rows are ignored.
            posterior_predictive: Whether to draw new observations of each row for each draw.

        Raises:
            ImportError: If ArviZ is not installed.
            ValueError: If no member is finite.
        """
        with ALONE:
            draws = self._draws(num_samples, seed)
            wanted = {
                "log_likelihood": _checks.switch("log_likelihood", log_likelihood),
                "posterior_predictive": _checks.switch(
                    "posterior_predictive", posterior_predictive
                ),
            }
            key = jax.random.fold_in(as_key(seed), 1)  # not the key of the draws
            of = self._problem, self._posterior, draws, self._ending.labels, key
            return inference_data(groups_of(*of, **wanted))
