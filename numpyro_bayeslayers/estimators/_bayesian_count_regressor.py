"""Bayesian regression of counts in tables."""

import warnings
from typing import Any

import numpy as np

from ._bayesian_regressor import AbstractNumberEstimator
from ._table_likelihood import COUNTS


class BayesianCountRegressor(AbstractNumberEstimator):
    r"""Regression of counts with calibrated intervals, by an ensemble of Bayesian networks.

    $$y \sim \text{NB}\big(\mu = e^{\eta(x)},\ \kappa\big), \qquad
    \text{var} = \mu + \mu^2 / \kappa$$

    with $\eta(x) = \log \bar y + \text{network}(x) + x V$. Priors, standardization and the
    treatment of rows are those of `BayesianRegressor`; the scale of the prior and a factor for
    $1 / \sqrt\kappa$, the relative deviation in excess of Poisson's, are chosen on held-out
    rows.

    Quantiles and ends of intervals are integers, the smallest that reach the given probability,
    so that the coverage of an interval is at least the nominal one.

    Averages of counts, and counts divided by an exposure that is their ``sample_weight``, are
    also accepted, with a warning: 2.3 is treated as a 2 with weight 0.7 and a 3 with weight
    0.3, which for ``"poisson"`` gives the same parameters as the counts themselves.

    Args:
        hidden: Units of each hidden layer; ``()`` for a linear model.
        activation: See `BayesianRegressor`.
        likelihood: ``"negative_binomial"``; ``"poisson"``; or ``"zinb"``, the zero-inflated
            negative binomial.
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
        >>> X = np.linspace(-1, 1, 80)[:, None]
        >>> y = np.random.default_rng(0).poisson(np.exp(2 + X[:, 0]))
        >>> model = BayesianCountRegressor((), num_members=2, num_steps=300, random_state=0)
        >>> low, high = model.fit(X, y).predict_interval([[0.0]])
        >>> bool(low[0] < np.exp(2) < high[0]), low[0] == round(low[0])
        (True, np.True_)

    References:
        Hilbe (2011), "Negative binomial regression", section 8.2; see `BayesianRegressor`.
    """

    _likelihoods = COUNTS

    def __init__(
        self,
        hidden: Any = (50, 50),
        activation: Any = "relu",
        *,
        likelihood: Any = "negative_binomial",
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def _read_outcome(self, y: Any) -> np.ndarray:
        y = super()._read_outcome(y)
        self._refuse(y, (y < 0) | (y != np.floor(y)))
        return y

    def _fitted_outcome(self, y: Any) -> np.ndarray:
        y = super()._read_outcome(y)
        self._refuse(y, y < 0)
        between = np.flatnonzero(y != np.floor(y))
        if between.size:
            warnings.warn(
                f"`y` has {between.size} values that are no counts, the first {y[between[0]]:g} in "
                f"row {between[0]}. Each is taken as the two counts around it, in proportion, as "
                "averages of counts may be; for other numbers take BayesianRegressor.",
                stacklevel=4,  # where `fit` is called
            )
        return y

    def _refuse(self, y: np.ndarray, is_wrong: np.ndarray) -> None:
        bad = np.flatnonzero(is_wrong)
        if bad.size:
            raise ValueError(
                f"`y` must hold counts, whole numbers from zero, got {y[bad[0]]:g} in row "
                f"{bad[0]}. For other numbers take BayesianRegressor."
            )

    def _predicted(self, X: Any) -> np.ndarray:
        return np.round(self.predict(X))

    def _offset(self, y: np.ndarray, weights: np.ndarray) -> Any:
        mean = (weights @ y) / weights.sum()
        return np.float32(np.log(max(mean, 1e-3)))
