"""Bayesian classification of tables."""

from typing import Any

import numpy as np

from ._scikit_learn import ClassifierMixin, check_classes, column_or_1d
from ._table_estimator import AbstractTableEstimator
from ._table_likelihood import CLASSES
from ._table_network import probabilities_of


class BayesianClassifier(ClassifierMixin, AbstractTableEstimator):
    r"""Classifier with calibrated probabilities, by an ensemble of Bayesian networks.

    $$P(y = k) \propto e^{\eta_k(x) / T}, \qquad \eta(x) = \text{network}(x) + x V$$

    Predicted probabilities are averaged over members. Priors, standardization and the treatment
    of rows are those of `BayesianRegressor`. Two numbers are chosen on held-out rows: the scale
    of the prior, among 1, 2 and 4, and the temperature $T$. Most rows are classified correctly
    and tell little of these, so four shares of the rows are held out in turn, each from a quarter
    of the members, and $\log T$ has the prior $N(0, 0.5^2)$.

    Args:
        hidden: Units of each hidden layer; ``()`` for a linear model.
        activation: See `BayesianRegressor`.
        likelihood: ``"categorical"``.
        method: See `BayesianRegressor`.
        num_members: See there.
        prior_scale: See there.
        num_steps: See there.
        learning_rate: See there.
        batch_size: See there.
        validation: See there.
        early_stopping: See there.
        categories: See there.
        precision: See there.
        progress_bar: See there.
        random_state: See there.

    Example:
        >>> import numpy as np
        >>> X = np.linspace(-1, 1, 60)[:, None]
        >>> y = np.where(X[:, 0] > 0, "warm", "cold")
        >>> model = BayesianClassifier(hidden=(), num_members=2, num_steps=200, random_state=0)
        >>> model.fit(X, y).predict([[-0.9], [0.9]]).tolist()
        ['cold', 'warm']

    References:
        Guo, Pleiss, Sun, Weinberger (2017), "On calibration of modern neural networks",
        ICML, section 4.2, for the temperature; see `BayesianRegressor` for the others.
    """

    _likelihoods = CLASSES
    # Classes that are told apart need outputs far from zero.
    _prior_scales = (1.0, 2.0, 4.0)
    # A row that is classified correctly tells little.
    _num_shares = 4

    def __init__(
        self,
        hidden: Any = (50, 50),
        activation: Any = "relu",
        *,
        likelihood: Any = "categorical",
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
        super().__init__(
            hidden,
            activation,
            likelihood=likelihood,
            method=method,
            num_members=num_members,
            prior_scale=prior_scale,
            num_steps=num_steps,
            learning_rate=learning_rate,
            batch_size=batch_size,
            validation=validation,
            early_stopping=early_stopping,
            categories=categories,
            precision=precision,
            progress_bar=progress_bar,
            random_state=random_state,
        )

    def _learn_outcome(self, y: Any) -> np.ndarray:
        check_classes(y)
        y = column_or_1d(y, warn=True)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"`y` must hold two classes or more, got one class, {self.classes_.tolist()[0]!r}. "
                "There is nothing to tell apart."
            )
        return codes.astype(float)

    def _read_outcome(self, y: Any) -> np.ndarray:
        y = column_or_1d(y, warn=True)
        codes = np.searchsorted(self.classes_, y).clip(0, len(self.classes_) - 1)
        new = np.flatnonzero(self.classes_[codes] != y)
        if new.size:
            raise ValueError(
                f"`y` has the class {y[new].tolist()[0]!r} in row {new[0]}, which the fit had not: "
                f"{', '.join(map(repr, self.classes_.tolist()))}. Fit all rows anew."
            )
        return codes.astype(float)

    def _standard(self, y: np.ndarray) -> np.ndarray:
        return y.astype(np.int32)

    def _num_outputs(self) -> int:
        return len(self.classes_)

    def _offset(self, y: np.ndarray, weights: np.ndarray) -> Any:
        counts = np.bincount(y.astype(int), weights, len(self.classes_)) + 1.0
        shares = np.log(counts / counts.sum())
        return (shares - shares.mean()).astype(np.float32)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> "BayesianClassifier":
        """Continue training on new rows from the current members; see `BayesianRegressor`.

        Args:
            X: New rows, with the columns of `fit`.
            y: Their classes.
            classes: All classes; the first call must contain rows of each. Ignored in later
                calls.
            sample_weight: As in `fit`.

        Raises:
            TypeError: As `fit`.
            ValueError: As `fit`, or if columns, levels or classes differ from those of earlier
                calls.
        """
        is_first = not hasattr(self, "draws_")
        if is_first and classes is not None:
            absent = np.setdiff1d(classes, y)
            if absent.size:
                raise ValueError(
                    "The first rows must hold each of `classes`, got none of "
                    f"{absent.tolist()[0]!r}."
                )
        super().partial_fit(X, y, sample_weight)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class in each row.

        Args:
            X: Rows, with the columns of `fit`.

        Returns:
            (n, classes), in the order of ``classes_``.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If columns or levels differ from those of `fit`, or an entry is NaN.
        """
        found = self._over_rows(probabilities_of, self._inputs(X)).T
        return found / found.sum(1, keepdims=True)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`.

        Args:
            X: Rows, with the columns of `fit`.
        """
        return np.log(np.maximum(self.predict_proba(X), np.finfo(np.float32).tiny))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class in each row.

        Args:
            X: Rows, with the columns of `fit`.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: As `predict_proba`.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(1)]

    def _outcomes(self, z: np.ndarray) -> np.ndarray:
        return self.classes_[z.astype(int)]
