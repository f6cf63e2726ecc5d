"""Base class of table estimators: encoding, training, prediction and further training."""

import abc
import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _checks
from ..handlers._mixed_precision import PRECISIONS
from ..infer import MCMC
from ..infer.fitting._known_methods import method_of
from ._scikit_learn import (
    check_consistent_length,
    check_is_fitted,
    check_random_state,
)
from ._table_network import (
    ACTIVATIONS,
    Network,
    log_density_of,
    outputs_of,
    samples_of,
)
from ._table_reader import AbstractTableReader
from ._table_rows import merged, padded, padded_size, weights_of
from ._table_saved import read_table_estimator, write_table_estimator
from ._table_training import (
    Draws,
    Plan,
    Rows,
    Trained,
    go_on,
    on_device,
    steps_for,
    train,
)

# Approximate numbers of rows and of values in a block of predictions.
_BLOCK_ROWS, _BLOCK = 4096, 2**22
# Rows per step, for tables with more than twice as many rows.
_BATCH = 256
# The candidate scales of the prior.
PRIOR_SCALES = (0.5, 1.0, 2.0)


class AbstractTableEstimator(AbstractTableReader, abc.ABC):
    """A Bayesian network for a table. See `BayesianRegressor` for the settings."""

    predict: Any
    #: The available likelihoods.
    _likelihoods: dict[str, Any]

    def __init__(
        self,
        hidden: Any = (50, 50),
        activation: Any = "relu",
        *,
        likelihood: Any,
        method: Any = "modes",
        num_members: Any = 8,
        prior_scale: Any = None,
        num_steps: Any = None,
        learning_rate: Any = 0.01,
        batch_size: Any = None,
        validation: Any = 0.15,
        early_stopping: Any = False,
        categories: Any = "one_hot",
        precision: Any = "float32",
        progress_bar: Any = False,
        random_state: Any = None,
    ) -> None:
        # As scikit-learn requires, settings are stored unchanged and checked by `fit`.
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.method = method
        self.num_members = num_members
        self.prior_scale = prior_scale
        self.num_steps = num_steps
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.validation = validation
        self.early_stopping = early_stopping
        self.categories = categories
        self.precision = precision
        self.progress_bar = progress_bar
        self.random_state = random_state

    # Defined by the kind of outcome.

    @abc.abstractmethod
    def _learn_outcome(self, y: Any) -> np.ndarray:
        """Learn the encoding of outcomes, and return them as numbers in double precision."""

    @abc.abstractmethod
    def _read_outcome(self, y: Any) -> np.ndarray:
        """Outcomes as numbers in double precision, with the learned encoding."""

    def _fitted_outcome(self, y: Any) -> np.ndarray:
        """Outcomes for a fit, which may include values without a density."""
        return self._read_outcome(y)

    def _learn_units(self, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        """The shift and scale of outcomes."""
        return 0.0, 1.0

    def _offset(self, y: np.ndarray, weights: np.ndarray) -> Any:
        """The offset of the network's outputs."""
        return 0.0

    def _num_outputs(self) -> int:
        return 1

    def _predicted(self, X: Any) -> np.ndarray:
        """One predicted outcome per row."""
        return self.predict(X)

    def _rows(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> Rows:
        x = self.columns_.standardized(x)
        return Rows(x, self._standard(self._transformed(y)), weights.astype(np.float32))

    def _standard(self, y: np.ndarray) -> np.ndarray:
        """Standardized outcomes, as the likelihood expects them."""
        shift, scale = self.units_
        return ((y - shift) / scale).astype(np.float32)

    def _transformed(self, y: np.ndarray) -> np.ndarray:
        return np.log(y) if self.network_.is_log else y

    # Fitting.

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit all members.

        Args:
            X: A pandas DataFrame, whose columns may hold categories, or an array (n, columns).
            y: One outcome per row.
            sample_weight: Frequency weight of each row, at least 0; 1 if None.

        Returns:
            This estimator, with the attributes ``draws_``, the parameters; ``losses_``, the
            loss of each member at each step; ``prior_scale_`` and ``factor_``, chosen on
            held-out rows; and ``validation_score_``, the mean log density of these rows.

        Raises:
            TypeError: If a setting has the wrong type, or `X` is sparse.
            ValueError: If a setting is out of range, an entry is NaN or infinite, numbers of
                rows differ, or there is only one row.
        """
        self._check_settings()
        x = self._features(X, reset=True)
        y = self._learn_outcome(self._column(y, x))
        weights = weights_of(sample_weight, x)
        if len(x) < 2:
            raise ValueError(
                "A fit needs at least two rows, got n_samples=1 (1 sample): noise and slopes "
                "cannot be estimated from one row."
            )
        x, y, weights = merged(x, y, weights)
        self.network_ = self._network(x.shape[1])
        self.columns_ = self.columns_.with_units(x, weights)
        self.units_ = self._learn_units(self._transformed(y), weights)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        rows, plan = self._rows(x, y, weights), self._plan(len(y), seed)
        self.seed_ = seed
        self._keep(train(self.network_, rows, self._offset(y, weights), plan))
        return self

    def _check_settings(self) -> None:
        for width in self._hidden():
            _checks.size("hidden", width)
        _checks.one_of("activation", self.activation, ACTIVATIONS)
        _checks.one_of("likelihood", self.likelihood, self._likelihoods)
        _checks.one_of("categories", self.categories, ("one_hot", "embed"))
        _checks.one_of("precision", self.precision, PRECISIONS)
        _checks.size("num_members", self.num_members)
        _checks.optional(_checks.positive)("prior_scale", self.prior_scale)
        _checks.optional(_checks.size)("num_steps", self.num_steps)
        _checks.optional(_checks.size)("batch_size", self.batch_size)
        _checks.positive("learning_rate", self.learning_rate)
        _checks.share("validation", self.validation)
        _checks.switch("early_stopping", self.early_stopping)
        _checks.switch("progress_bar", self.progress_bar)

    def _hidden(self) -> tuple[Any, ...]:
        is_list = isinstance(self.hidden, (tuple, list, np.ndarray))
        return tuple(self.hidden) if is_list else (self.hidden,)

    def _column(self, y: Any, x: np.ndarray) -> Any:
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target "
                "y is None."
            )
        check_consistent_length(x, y)
        return y

    def _network(self, num_inputs: int) -> Network:
        blocks = self.columns_.blocks if self.categories == "embed" else ()
        hidden = tuple(int(width) for width in self._hidden())
        names, count = (self.activation, self.likelihood), self._num_outputs()
        return Network(num_inputs, hidden, *names, count, blocks, precision=self.precision)

    def _plan(self, count: int, seed: int) -> Plan:
        method = self.method
        if isinstance(method, (str, type)):
            method = method_of(method)
            fields = {f.name for f in dataclasses.fields(method)}
            given = {"num_members": self.num_members, "optim": float(self.learning_rate)}
            method = dataclasses.replace(
                method, **{n: v for n, v in given.items() if n in fields}
            )
        method = method_of(method)
        is_chain = isinstance(method, MCMC)
        size = self.batch_size or (_BATCH if count > 2 * _BATCH else count)
        is_fixed = self.prior_scale is not None or is_chain
        scales = (float(self.prior_scale or 1.0),) if is_fixed else PRIOR_SCALES
        return Plan(
            method,
            None if is_chain else self.num_steps or steps_for(count, size),
            None if size >= count else size,
            scales,
            float(self.validation),
            bool(self.early_stopping),
            int(seed),
            bool(self.progress_bar),
        )

    def _keep(self, trained: Trained) -> None:
        self.draws_ = trained.draws.sites
        self.prior_scale_ = float(trained.draws.prior_scale)
        self.offset_ = np.asarray(trained.draws.offset, np.float32)
        self.factor_ = float(trained.draws.factor)
        self.losses_ = trained.losses
        self.validation_score_ = trained.score

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Continue training on new rows from the current members.

        The encoding of columns, the standardization and the noise factor stay those of the
        first rows. The earlier rows are not stored; they matter only through the current
        parameters. It takes a fifth of the steps of a fit, at a tenth of its step size. Without
        an earlier fit, it is the same as `fit`.

        Args:
            X: New rows, with the columns of `fit`.
            y: Their outcomes.
            sample_weight: As in `fit`.

        Raises:
            TypeError: As `fit`.
            ValueError: As `fit`, or if columns, levels or classes differ from those of earlier
                calls.
        """
        if not hasattr(self, "draws_"):
            return self.fit(X, y, sample_weight)
        x = self._features(X, reset=False)
        y = self._fitted_outcome(self._column(y, x))
        rows = merged(x, y, weights_of(sample_weight, x))
        plan = self._plan(len(rows[1]), self.seed_)
        losses = self.losses_
        trained = go_on(self.network_, self._rows(*rows), self._draws(), plan)
        self._keep(trained._replace(score=self.validation_score_))
        if losses is not None:
            self.losses_ = np.concatenate([losses, trained.losses], 1)
        return self

    # Predictions.

    def _draws(self) -> Draws:
        return Draws(self.draws_, self.prior_scale_, self.offset_, self.factor_)

    def _blocks(self, x: np.ndarray, *of_rows: np.ndarray) -> Any:
        """The outputs of blocks of rows, their other arrays, and the number of rows that count."""
        num_draws = len(next(iter(self.draws_.values())))
        most = max(64, min(_BLOCK_ROWS, _BLOCK // num_draws))
        draws = on_device(self._draws(), float)
        for start in range(0, len(x), most):
            parts = [a[start : start + most] for a in (x, *of_rows)]
            count = len(parts[0])
            parts = [jnp.asarray(padded(a, padded_size(count))) for a in parts]
            outputs = outputs_of(self.network_, draws, parts[0])
            yield draws, outputs, parts[1:], count

    def _over_rows(self, function: Any, x: np.ndarray, *of_rows: np.ndarray) -> np.ndarray:
        """The result of a function of the outputs, with the rows on its last axis."""
        # In double precision the results of a row do not depend on the other rows.
        with jax.enable_x64(True):
            found = [
                np.asarray(function(self.network_, draws, outputs, *parts), float)[
                    ..., :count
                ]
                for draws, outputs, parts, count in self._blocks(x, *of_rows)
            ]
        return np.concatenate(found, -1)

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """The log predictive density (probability, for counts and classes) of each outcome.

        Args:
            X: Rows, with the columns of `fit`.
            y: Their outcomes; if None, the predictions, whose density measures their certainty.

        Returns:
            Log densities (n,) in nats, for outcomes in their own units.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If columns, levels or classes differ from those of `fit`, or numbers of
                rows differ.
        """
        x = self._inputs(X)
        y = self._predicted(X) if y is None else y
        y = self._read_outcome(self._column(y, x))
        z = self._transformed(y)
        density = self._over_rows(log_density_of, x, self._standard(z))
        density -= np.log(self.units_[1])
        return density - z if self.network_.is_log else density

    def sample(self, X: Any, n: int = 1) -> np.ndarray:
        """Draw outcomes for each row, including noise.

        Args:
            X: Rows, with the columns of `fit`.
            n: Number of draws, at least 1. Every call gives the same draws, by the seed of the
                fit.

        Returns:
            Draws (n, rows). Each draw uses one network for all rows, so that sums over rows
            have the correct distribution.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If columns or levels differ from those of `fit`.
        """
        n = _checks.size("n", n)
        x = self._inputs(X)
        members = len(next(iter(self.draws_.values())))
        rng = np.random.default_rng(self.seed_)
        rounds = [rng.permutation(members) for _ in range(-(-n // members))]
        chosen = np.concatenate(rounds)[:n]
        key = jax.random.key(self.seed_)
        found = np.empty((n, len(x)))
        start = 0
        for block, (draws, outputs, _, count) in enumerate(self._blocks(x)):
            for i in range(len(rounds)):
                own = jax.random.fold_in(jax.random.fold_in(key, i), block)
                drawn = np.asarray(samples_of(self.network_, draws, outputs, own), float)
                at = slice(i * members, min((i + 1) * members, n))
                found[at, start : start + count] = drawn[chosen[at], :count]
            start += count
        return self._outcomes(found)

    def _outcomes(self, z: np.ndarray) -> Any:
        """Outcomes in their own units."""
        shift, scale = self.units_
        y = shift + scale * z
        return np.exp(y) if self.network_.is_log else y

    # Files.

    def save(self, path: str | Path) -> None:
        """Save the fitted estimator to a file that `load` can read.

        The file is in the safetensors format with a JSON header: numbers and text, no code, and
        no rows of the data. It replaces an existing file atomically.

        Args:
            path: The file, in an existing folder.

        Raises:
            NotFittedError: Before `fit`.
            FileNotFoundError: If the folder does not exist.
            TypeError: If `path` is not a path, or a setting cannot be stored.
        """
        check_is_fitted(self, "draws_")
        write_table_estimator(path, self)

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """Load an estimator saved by `save`; it predicts and fits as before.

        Options of a method that cannot be stored, such as an optimizer object, are saved only
        by name, and a further fit asks for them.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged, or was saved by another class or a later
                version.
        """
        return read_table_estimator(path, cls)
