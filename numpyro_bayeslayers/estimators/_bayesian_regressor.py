"""Bayesian regression of tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from ._scikit_learn import RegressorMixin, column_or_1d
from ._table_estimator import AbstractTableEstimator
from ._table_likelihood import REGRESSION
from ._table_network import moments_of, quantiles_of
from ._table_rows import units_of


class AbstractNumberEstimator(RegressorMixin, AbstractTableEstimator):
    """The base of estimators whose outcomes have a mean and quantiles."""

    def _learn_outcome(self, y: Any) -> np.ndarray:
        return self._fitted_outcome(y)

    def _read_outcome(self, y: Any) -> np.ndarray:
        y = column_or_1d(y, dtype=np.float64, warn=True)
        _checks.no_nan("y", y)
        return y

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean of the outcome in each row.

        Args:
            X: Rows, with the columns of `fit`.
            return_std: Whether to also return standard deviations of the outcome, including
                noise.

        Returns:
            Means (n,), or the pair of means and standard deviations.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If columns or levels differ from those of `fit`, or an entry is NaN.
        """
        x = self._inputs(X)
        shift, scale = self.units_
        units = np.array([shift, scale], np.float32)
        moments = lambda *args: np.stack(moments_of(*args, units))
        mean, std = self._over_rows(moments, x)
        if not self.network_.is_log:
            mean, std = shift + scale * mean, scale * std
        return (mean, std) if return_std else mean

    def predict_quantiles(
        self, X: Any, quantiles: Sequence[float] = (0.05, 0.5, 0.95)
    ) -> Any:
        """Quantiles of the outcome in each row, including noise.

        They are the exact quantiles of the mixture of members.

        Args:
            X: Rows, with the columns of `fit`.
            quantiles: Probabilities above 0 and below 1.

        Returns:
            (n, quantiles).

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If a probability is out of range, or columns or levels differ from those
                of `fit`.
        """
        levels = np.atleast_1d(np.asarray(_checks.numbers("quantiles", quantiles), float))
        if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
            raise ValueError(
                f"`quantiles` must be probabilities above 0 and below 1, got {quantiles!r}."
            )
        x = self._inputs(X)
        at = levels.astype(np.float32)
        found = self._over_rows(lambda *args: quantiles_of(*args, at), x)
        return self._outcomes(found).T

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Any:
        """The central interval that contains the outcome with a given probability.

        Args:
            X: Rows, with the columns of `fit`.
            coverage: Above 0 and below 1.

        Returns:
            Lower and upper ends, (n,) each.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If `coverage` is out of range, or columns or levels differ from those of
                `fit`.
        """
        coverage = _checks.share("coverage", coverage)
        ends = (1 - coverage) / 2, (1 + coverage) / 2
        low, high = self.predict_quantiles(X, ends).T
        return low, high


class BayesianRegressor(AbstractNumberEstimator):
    r"""Regression with calibrated intervals, by an ensemble of Bayesian networks.

    $$y \sim N\big(f(x),\ \sigma(x)^2\big), \qquad f(x) = \text{network}(x) + x V$$

    Weights have normal priors of variance $s^2 / \text{fan-in}$. Inputs and outcomes are
    standardized, and categories of a table are one-hot encoded. Two numbers are chosen on
    held-out rows, drawn by `random_state`: $s$ among 0.5, 1 and 2, by the log density, and a
    factor for the noise, which networks that fit well tend to underestimate. Then all rows are
    fitted.

    Equal rows are merged into one row with their total weight, and the order of rows does not
    matter.

    Args:
        hidden: Units of each hidden layer; ``()`` for a linear model.
        activation: ``"relu"``, ``"tanh"``, ``"silu"``, ``"gelu"``, ``"elu"`` or
            ``"softplus"``.
        likelihood: ``"normal"``, whose deviation depends on the row; ``"homoscedastic"``, a
            normal of one deviation; ``"student_t"`` for outliers; ``"lognormal"`` for
            positive outcomes with relative noise.
        method: How `infer.fit` fits: ``"modes"``, ``"ensemble"`` (variational) or ``"mcmc"``,
            or a method with its options, `Modes`, `Ensemble`, `MCMC`.
        num_members: Number of members, if the ensemble is given by name.
        prior_scale: $s$, positive; chosen on held-out rows if None (1 for chains).
        num_steps: Steps of each fit; if None 2,000, and at least twenty passes over the rows.
        learning_rate: The initial step size of Adam, with cosine decay to zero.
        batch_size: Rows per step; if None, all rows, or 256 if there are more than 512.
        validation: The fraction of rows held out, above 0 and below 1. If this gives fewer than
            8 rows, none are held out, and both $s$ and the factor are 1.
        early_stopping: Whether each member stops early by the density of held-out rows and
            keeps its best parameters. These rows are then not used in the final fit.
        categories: ``"one_hot"``, or ``"embed"`` for an embedding of four learned numbers each.
        precision: ``"bfloat16"`` to compute the network's products in half precision during the
            fit, by `handlers.mixed_precision`; parameters, losses and predictions have the
            precision of ``"float32"``.
        progress_bar: Whether to show progress.
        random_state: An integer, a generator of NumPy or None.

    Example:
        >>> import numpy as np
        >>> X = np.linspace(-1, 1, 60)[:, None]
        >>> y = 3 * X[:, 0] + np.random.default_rng(0).normal(0, 0.1, 60)
        >>> model = BayesianRegressor(hidden=(), num_members=2, num_steps=300, random_state=0)
        >>> low, high = model.fit(X, y).predict_interval([[0.5]])
        >>> bool(low[0] < 1.5 < high[0] < 2.0)
        True

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), "Simple and scalable predictive
        uncertainty estimation using deep ensembles", NeurIPS; Neal (1996), "Bayesian
        learning for neural networks", section 2.1, for priors by fan-in; Guo, Pleiss, Sun,
        Weinberger (2017), "On calibration of modern neural networks", ICML, section 4.2,
        for one factor found on held-out rows.
    """

    _likelihoods = REGRESSION

    def __init__(
        self,
        hidden: Any = (50, 50),
        activation: Any = "relu",
        *,
        likelihood: Any = "normal",
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

    def _read_outcome(self, y: Any) -> np.ndarray:
        y = super()._read_outcome(y)
        bad = np.flatnonzero(y <= 0)
        if self.likelihood == "lognormal" and bad.size:
            raise ValueError(
                f"`y` must be positive for `likelihood`='lognormal', got {y[bad[0]]:g} in row "
                f"{bad[0]}. Take 'normal'."
            )
        return y

    def _learn_units(self, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        mean, scale = units_of(y[:, None], weights)
        return float(mean[0]), float(scale[0])
