"""What can be asked of a fitted model."""

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
from ..training._arguments import take_apart
from ..training._inputs import Seed, as_key
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
        self._found = problem, method, posterior
        self._ending = Ending(method, posterior, problem)

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
    def validation(self) -> Validation | None:
        """The scores of held-out rows as the fit went on; None if nothing was held out."""
        return getattr(self._posterior.result, "validation", None)

    @property
    def result(self) -> Any:
        """What the method below gave: `EnsembleResult`, `EnsembleMCMCResult`, ..."""
        return self._posterior.result

    def __reduce__(self) -> Any:
        raise TypeError(
            "A fit cannot be pickled: it holds compiled programs. Keep it by "
            "`found.save(path)`, and read it by `infer.load(path, model)`."
        )

    def save(self, path: str | Path) -> None:
        """Write the fit into a file, from which `load` reads it, in another process too.

        The file is one of safetensors with a header of JSON: numbers and words, no code. It
        holds what was found (parameters and losses, or all draws), the rows that were fitted
        (`draws` and `to_arviz` look at them), the constants, the columns and levels of the
        data, and the options of the method. It is written beside `path`, put onto the disk,
        and takes the place of a file of that name in one move: no half of one ever stands
        there.

        Args:
            path: The file, in a folder that exists.

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
        """Draw from the posterior predictive: what would be observed in new rows.

        Predictions of labels have the probability of each, and the most probable one, beside
        the draws: `Predictions.probabilities`, `Predictions.mode`.

        If a latent site has a value for each row, rows that were fitted have their own values,
        and new ones draws from the prior. A row was fitted if all its arguments are those of a
        row of the fit; one that equals several of them is an error, unless all rows of the fit
        are given, in their order.

        Members, particles or chains that are not finite are left out, with a warning that
        names them, here and in all other draws.

        Args:
            num_samples: The number of draws, at least 1. Members share them, rounded up;
                after `MCMC` there are at most as many as the chains have, evenly chosen.
            seed: A key or an integer.
            site: A site that grows with the rows, also a deterministic one, or a latent one
                that has a value for each row; the observed one if None, which must be named if
                `y` was observed at several.
            batch_size: Rows at a time, which bounds the memory beside the draws; a few rows
                are compared first. If None all rows are predicted at once, unless that would
                take over 2 GiB, see `EnsembleSVI.predict`.
            new_rows: True if all rows are new ones, though they may equal rows of the fit;
                False if none may be. Read if a latent site has a value for each row.
            new_levels: What becomes of levels that were not in the fit, where a
                `RandomEffectsLayer`, a `RandomSlopesLayer` or an `EmbeddingLayer` takes them:
                ``"draw"`` draws their effect from the population given its scale, one new
                group for each new level, the same in all rows of a draw; ``"mean"`` is the
                population's mean. If None they are an error.
            data: The arguments of the model without `y`, for any number of rows. Columns of
                tables are found by name, in any order, and categories by their words.
                Constants of the fit need not be given again, nor what no draw depends on:
                weights and masks of observations.

        Raises:
            TypeError: If `num_samples` is not an integer, or a column has a different type from
                that in the fit.
            ValueError: If an argument or a column is missing, unknown, or of another row
                count than the others, if an entry is NaN, a level was not in the fit, if it
                is not clear which site is meant, if `batch_size` is given and the model looks
                across rows, if latent values of rows cannot be told apart, or not be taken
                without those of others, or if no member is finite.
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
        """Draw the mean of the likelihood in new rows: the curve, without the noise.

        Args:
            num_samples: As in `predict`.
            seed: As in `predict`: the draws are of the same posterior values.
            site: The observed site; needed if `y` was observed at several.
            batch_size: As in `predict`.
            new_rows: As in `predict`.
            new_levels: As in `predict`.
            data: As in `predict`.

        Raises:
            TypeError: As `predict`.
            ValueError: As `predict`, and if the likelihood has no mean: a class is not a number,
                and Cauchy's law has tails too long.
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

        over draws of the posterior. Rows that a mask leaves out have 0, weights do not count.
        Of the rows of the fit it is no measure of predictions: they have been seen.

        Args:
            y: The observations, one for each row, in the form of those of the fit.
            num_samples: As in `predict`.
            seed: As in `predict`.
            site: The observed site; needed if `y` was observed at several.
            batch_size: As in `predict`.
            new_rows: As in `predict`.
            new_levels: As in `predict`.
            data: The other arguments of the model, all of them.

        Raises:
            TypeError: As `predict`.
            ValueError: As `predict`.
        """
        with ALONE:
            self._posterior.finite.warn_left_out(stacklevel=2)
            name = observed_site(self._problem.sites, site)
            how = How(num_samples, seed, batch_size, new_rows, new_levels)
            asked = Asked.instead(name, "density")
            (densities,) = predicted(*self._found, asked, how, data, y).values()
            return log_mean(densities)

    def draws(
        self, *, num_samples: int = 1000, seed: Seed = 2, all: bool = False
    ) -> dict[str, Array]:
        """Draws of the posterior: latent sites, and deterministic ones that are no rows.

        Args:
            num_samples: Draws of each member's guide, at least 1; after `MCMC` all draws of
                the chains are given.
            seed: A key or an integer.
            all: Whether sites are given, too, that others are computed from: the standardized
                coefficients ``beta_base`` of a layer, and what `autoreparam` draws.

        Returns:
            Values by site name, (chains, draws, *site); members and particles are chains.

        Raises:
            ValueError: If no member is finite.
        """
        return self._draws(num_samples, seed, all)

    def _draws(self, num_samples: int, seed: Seed, all: bool = True) -> dict[str, Array]:
        """As `draws`; it is called by methods alone, whose caller a warning points to."""
        with ALONE:
            num_samples = _checks.size("num_samples", num_samples)
            finite = self._posterior.finite
            finite.warn_left_out(stacklevel=3)
            sites, data = self._problem.sites, self._problem.data
            rows, of_rows = data.rows | {"y": None}, rows_of_sites(self._problem)
            # Of the values of rows, those are posterior draws that `autoreparam` computes.
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
            # On the host, which compiles nothing.
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
        """A table of the posterior: one line for each entry of each site.

        A layer's coefficients of a table's columns, or of categories, are called by the names
        of these: ``price.beta[age]``, ``store.theta[oslo]``.

        Args:
            prob: The probability of the interval between the two quantiles.
            num_samples: As in `draws`.
            seed: A key or an integer.
            all: As in `draws`.

        Returns:
            A pandas table with the mean, the standard deviation, the median and two
            quantiles; after `MCMC` the effective sample size and the split R-hat. Its
            ``attrs`` have the divergences, or each member's Pareto k-hat (see `diagnostics`).

        Raises:
            ImportError: If pandas is not installed.
            ValueError: If `prob` is not above 0 and below 1.
        """
        with ALONE:
            check_pandas()
            prob = _checks.share("prob", prob)
            draws = self._draws(num_samples, seed, all)
            are_chains = self._posterior.samples is not None
            labels, header = self._ending.labels, self._ending.header()
            return summary_of(draws, prob, labels, are_chains=are_chains, header=header)

    def diagnostics(self) -> Diagnostics:
        """How the fit ended: divergences, R-hat and energy, or the slope of the loss and k-hat.

        `fit` warns of what is there at its end. K-hat, which tells how far a guide is from the
        posterior, is computed when it is first asked for, here or for a `summary`: it takes a
        program of its own, and as long as 1,000 losses.
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
        """The posterior as ArviZ's data; members and particles are chains.

        It is an `InferenceData` of ArviZ below 1, and a tree of xarray from 1 on, with the
        groups ``posterior``, ``log_likelihood``, ``posterior_predictive``, ``observed_data``
        and ``constant_data``, and after `MCMC` ``sample_stats``: what ``arviz.loo``,
        ``compare``, ``plot_ppc`` and ``summary`` ask for. All groups are of the same draws.
        Axes are called ``chain``, ``draw``, ``row``, and by the columns and categories that
        coefficients belong to, ``x_column`` and ``town_level``. Chains keep their numbers if
        some are left out. Rows that are missing or masked are in no group of observations. A
        slash in the name of a site is a dot in ArviZ 1, which cannot have it.

        The draws of a guide that is a point (``"delta"``, `Stein`) are all alike. There the
        members or particles are the draws of one chain.

        Args:
            num_samples: As in `draws`.
            seed: A key or an integer.
            log_likelihood: Whether to compute the log likelihood of each row at each draw,
                which takes a number for each of them. Weights of rows do not count.
            posterior_predictive: Whether to draw new observations of each row at each draw.

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
            key = jax.random.fold_in(as_key(seed), 1)  # not that of the draws
            of = self._problem, self._posterior, draws, self._ending.labels, key
            return inference_data(groups_of(*of, **wanted))
