"""Base class of field estimators: encode the table, train an ensemble, mix its members."""

import abc
import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jaxtyping import Array, Float

from .. import _checks
from .._threads import ALONE
from .._typing import Model
from ..infer import Checkpoint, EarlyStopping, EnsembleVI
from ..infer.rows._inputs import Seed, as_key
from ..infer.training._finite import Finite
from ..infer.training._training_loop import warn_non_finite
from ..layers import BayesianNeuralField
from ..preprocessing import SpatiotemporalFit, fit_spatiotemporal
from ..preprocessing._columns import as_table
from ._guide import mean_field
from ._observation import OBSERVATION_MODELS, ObservationModel, Units
from ._posterior import Posterior, components, summaries
from ._saved import field_of, read_estimator, write_estimator
from ._scikit_learn import BaseEstimator, check_is_fitted

# The approximate number of values in a block of rows, over all members and draws.
_BLOCK = 2**20
# Folded into the seed for the draws of predictions.
_PREDICTION = 0x70726564


class AbstractFieldEstimator(BaseEstimator, abc.ABC):
    """A Bayesian neural field for a table; subclasses define how it is fitted.

    See `BayesianNeuralFieldMAP` for the settings.
    """

    #: Whether the prior is part of the objective.
    _has_prior: bool = True
    #: The initial standard deviations of the guide; None for point estimates.
    _init_scale: float | None = None

    @abc.abstractmethod
    def fit(self, df: Any, seed: Seed) -> "AbstractFieldEstimator":
        """Fit all members to the table `df`."""

    def __init__(
        self,
        *,
        width: int = 256,
        depth: int = 2,
        freq: str | None = None,
        seasonality_periods: Any = None,
        num_seasonal_harmonics: Any = None,
        feature_cols: Any,
        target_col: str,
        observation_model: str = "NORMAL",
        timetype: str = "index",
        standardize: Any = None,
        interactions: Any = None,
        fourier_degrees: Any = None,
    ) -> None:
        # As scikit-learn requires, settings are stored unchanged and checked by `fit`.
        self.width = width
        self.depth = depth
        self.freq = freq
        self.seasonality_periods = seasonality_periods
        self.num_seasonal_harmonics = num_seasonal_harmonics
        self.feature_cols = feature_cols
        self.target_col = target_col
        self.observation_model = observation_model
        self.timetype = timetype
        self.standardize = standardize
        self.interactions = interactions
        self.fourier_degrees = fourier_degrees

    def _train(
        self,
        df: Any,
        seed: Seed,
        *,
        ensemble_size: int,
        num_epochs: int,
        learning_rate: float | optax.Schedule,
        batch_size: int | None,
        progress_bar: bool,
        early_stopping: EarlyStopping | None,
        checkpoint: Checkpoint | None,
        num_splits: int = 1,
        sample_size_posterior: int = 1,
        kl_weight: float = 1.0,
        num_particles: int = 1,
    ) -> None:
        """Fit all members at once and store what predictions need."""
        num_epochs = _checks.size("num_epochs", num_epochs)
        if not callable(learning_rate):
            learning_rate = _checks.positive("learning_rate", learning_rate)
        batch_size = _checks.optional(_checks.size)("batch_size", batch_size)
        progress_bar = _checks.switch("progress_bar", progress_bar)
        sample_size_posterior = _checks.size("sample_size_posterior", sample_size_posterior)
        _check_splits(num_splits, ensemble_size, checkpoint)
        _checks.one_of("observation_model", self.observation_model, OBSERVATION_MODELS)
        observation = OBSERVATION_MODELS[self.observation_model]
        key = as_key(seed)

        settings = self.get_params()
        width, depth = settings.pop("width"), settings.pop("depth")
        del settings["observation_model"]
        df = as_table("df", df)
        table = fit_spatiotemporal(df, **settings)
        x, y = _known_rows(table, df)
        observation.check(table.target_col, y)
        units = observation.units(y)
        field = field_of(table, width, depth)
        # To keep the precision of targets of any size and offset, they are standardized in
        # double precision; the losses are converted back.
        inner = units if observation.is_count else Units()
        y = y if observation.is_count else (y - units.shift) / units.scale
        model = _model(field, observation, inner, has_prior=self._has_prior)
        data = jnp.asarray(x, float), jnp.asarray(y, float)
        guide = mean_field(
            model, *data, starts=observation.starts, init_scale=self._init_scale
        )
        ensemble = EnsembleVI(
            model,
            guide,
            optax.adam(learning_rate),
            ensemble_size // num_splits,
            kl_weight,
            num_particles,
        )
        if num_splits > 1:
            ensemble.svi._is_quiet = True  # members are numbered across splits
        splits = [jax.random.fold_in(key, i) for i in range(num_splits)]
        groups = [
            ensemble.run(
                key if num_splits == 1 else split,
                num_epochs * max(1, len(y) // (batch_size or len(y))),
                *data,
                batch_size=batch_size,
                progress_bar=progress_bar,
                early_stopping=early_stopping,
                checkpoint=checkpoint,
            )
            for split in splits
        ]
        params = jax.tree.map(
            lambda *parts: jnp.concatenate(parts), *(group.params for group in groups)
        )
        losses = jnp.concatenate([group.losses for group in groups])
        if num_splits > 1:
            warn_non_finite(params, losses, stacklevel=4)
        rescaled = 0.0 if observation.is_count else len(y) * np.log(units.scale)
        self.table_ = table
        self.units_ = units
        self.field_ = field
        self.params_ = params
        self.losses_ = np.asarray(losses) + rescaled
        self.prediction_key_ = jax.random.fold_in(key, _PREDICTION)
        self.sample_size_posterior_ = sample_size_posterior
        self.n_features_in_ = len(table.feature_cols)

    def predict(
        self,
        df: Any,
        quantiles: Sequence[float] = (0.5,),
        approximate_quantiles: bool = False,
    ) -> tuple[Float[np.ndarray, " n"], list[Float[np.ndarray, " n"]]]:
        """The mean and quantiles of the measurement at each row, noise included.

        The predictive distribution is the equal-weight mixture of the members (for
        `BayesianNeuralFieldVI`, of their draws). Its quantiles are exact: the smallest value at
        which the mixture's CDF reaches the probability, found by bisection; they are integers
        for counts. Rows are processed in blocks. Members with non-finite parameters are left
        out, with a warning that names them.

        Args:
            df: A table, as in `fit`, with the feature columns; a target column is ignored.
            quantiles: Probabilities from 0 to 1.
            approximate_quantiles: Whether to use the quantiles of one normal distribution with
                the mixture's mean and variance, as bayesnf can; only for ``"NORMAL"``.

        Returns:
            The mean, and a list with one array per quantile; entries are in the order of the
            rows. (The package bayesnf returns the mean of each member instead; here this is
            ``likelihood_model(df).mean``.)

        Raises:
            NotFittedError: Before `fit`.
            TypeError: If `df` is not a table, or a feature column is not numeric (for the time:
                not dates).
            ValueError: If a feature column does not exist or has missing or infinite
                entries, a probability is out of range, or no member is finite.
        """
        check_is_fitted(self, "params_")
        levels = np.asarray(_checks.numbers("quantiles", quantiles), float)
        if levels.ndim != 1 or not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(
                f"`quantiles` must be a list of probabilities from 0 to 1, got {quantiles!r}."
            )
        approximate = _checks.switch("approximate_quantiles", approximate_quantiles)
        approximate = approximate and self.observation_model == "NORMAL"
        x = self.table_.features(df)
        posterior = self._posterior()
        size = max(1, min(len(x), _BLOCK // posterior.keys.size))
        mean, found = np.empty(len(x)), np.empty((len(levels), len(x)))
        for start in range(0, len(x), size):
            # The last block is moved back to be full: one program serves all.
            at = slice(min(start, len(x) - size), None)
            at = slice(at.start, at.start + size)
            mixture = self._components(posterior, x[at])
            mean[at], found[:, at] = summaries(mixture, jnp.asarray(levels), approximate)
        return mean, list(found)

    def likelihood_model(self, df: Any) -> dist.Distribution:
        """The distribution of the measurement at each row by each member (and draw).

        Args:
            df: A table with the feature columns.

        Returns:
            A NumPyro distribution with batch shape (members * draws, n), of the finite members,
            in the units of the target. `predict` summarizes the
            `numpyro_bayeslayers.distributions.EnsembleMixture` of it.

        Raises:
            NotFittedError: Before `fit`.
            TypeError: As `predict`.
            ValueError: As `predict`.
        """
        check_is_fitted(self, "params_")
        return self._components(self._posterior(), self.table_.features(df))

    def save(self, path: str | Path) -> None:
        """Save the fitted estimator to a file that `load` can read.

        The file is in the safetensors format with a JSON header: numbers and text, no code. It
        contains the settings, the encoding of the table (no rows), and the members. It replaces
        an existing file atomically.

        Args:
            path: The file, in an existing folder.

        Raises:
            NotFittedError: Before `fit`.
            FileNotFoundError: If the folder does not exist.
            IsADirectoryError: If `path` is a folder.
            TypeError: If `path` is not a path, or a setting cannot be stored.
        """
        check_is_fitted(self, "params_")
        write_estimator(path, self)

    @classmethod
    def load(cls, path: str | Path) -> "AbstractFieldEstimator":
        """Load an estimator saved by `save`; its predictions are bitwise identical.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If `path` is not a path.
            ValueError: If the file is damaged, or was saved by another class, a later version,
                or with another floating-point precision.

        Warns:
            UserWarning: If the versions of JAX, NumPyro or this package differ.
        """
        return read_estimator(path, cls)

    def _posterior(self) -> Posterior:
        """The posterior of finite members; a warning at the caller's caller names the others."""
        num_members = jax.tree.leaves(self.params_)[0].shape[0]
        finite = Finite.of(self.params_, num_members)
        finite.warn_left_out(stacklevel=3)
        return finite.take(
            Posterior.of(self.params_, self.prediction_key_, self.sample_size_posterior_)
        )

    def _components(self, posterior: Posterior, x: Float[np.ndarray, "n d"]) -> Any:
        with ALONE:
            observation = OBSERVATION_MODELS[self.observation_model]
            rows = jnp.asarray(x, float)
            return components(self.field_, observation, self.units_, posterior, rows)


def _check_splits(num_splits: Any, ensemble_size: Any, checkpoint: Any) -> None:
    _checks.size("num_splits", num_splits)
    _checks.size("ensemble_size", ensemble_size)
    if ensemble_size % num_splits:
        raise ValueError(
            f"`num_splits` must divide `ensemble_size`={ensemble_size}, got {num_splits}."
        )
    if num_splits > 1 and checkpoint is not None:
        raise ValueError(f"`num_splits` must be 1 with a `checkpoint`, got {num_splits}.")


def _known_rows(
    table: SpatiotemporalFit, df: Any
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    """Inputs and targets of the rows that have a target; a warning counts the others."""
    y = table.target(df)
    is_known = ~np.isnan(y)
    if not is_known.all():
        warnings.warn(
            f"{int((~is_known).sum())} of {len(y)} rows have no {table.target_col!r} and are "
            "left out.",
            stacklevel=4,
        )
    return table.features(df[is_known]), y[is_known]


def _model(
    field: BayesianNeuralField,
    observation: ObservationModel,
    units: Units,
    *,
    has_prior: bool,
) -> Model:
    """The NumPyro model of one member."""

    def model(x: Float[Array, "n d"], y: Float[Array, " n"] | None = None) -> None:
        prior = contextlib.nullcontext() if has_prior else numpyro.handlers.mask(mask=False)
        with prior:
            f = field(x)
            sites: dict[str, Any] = {
                name: numpyro.sample(name, dist.Logistic(center, 1.0))
                for name, center in observation.priors.items()
            }
        with numpyro.plate("rows", x.shape[0]):
            numpyro.sample("target", observation.distribution(f, sites, units), obs=y)

    return model
