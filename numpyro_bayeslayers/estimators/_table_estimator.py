"""Base class of table estimators: encoding, training, prediction and further training."""

import abc
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from .. import _checks
from ..handlers._mixed_precision import PRECISIONS
from ..infer import MCMC
from ..infer.fitting._known_methods import method_of
from ._scikit_learn import check_is_fitted, check_random_state
from ._table_network import ACTIVATIONS, Network
from ._table_predictor import AbstractTablePredictor
from ._table_rows import merged, weights_of
from ._table_saved import read_table_estimator, write_table_estimator
from ._table_training import Plan, Rows, Trained, go_on, steps_for, train

# Rows per step, for tables with more than twice as many rows.
_BATCH = 256


class AbstractTableEstimator(AbstractTablePredictor, abc.ABC):
    """A Bayesian network for a table. See `BayesianRegressor` for the settings."""

    #: The available likelihoods.
    _likelihoods: dict[str, Any]
    #: The candidate scales of the prior.
    _prior_scales: tuple[float, ...] = (0.5, 1.0, 2.0)
    #: How many shares of the rows are held out in turn.
    _num_shares = 1

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

    def _rows(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> Rows:
        x = self.columns_.standardized(x)
        return Rows(x, self._standard(self._transformed(y)), weights.astype(np.float32))

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

    def _network(self, num_inputs: int) -> Network:
        blocks = self.columns_.blocks if self.categories == "embed" else ()
        return Network(
            num_inputs,
            tuple(int(width) for width in self._hidden()),
            self.activation,
            self.likelihood,
            self._num_outputs(),
            blocks,
            precision=self.precision,
        )

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
        scales = (float(self.prior_scale or 1.0),) if is_fixed else self._prior_scales
        return Plan(
            method,
            None if is_chain else self.num_steps or steps_for(count, size),
            None if size >= count else size,
            scales,
            float(self.validation),
            self._num_shares,
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
