"""The three field estimators: MAP, maximum likelihood and variational inference."""

from typing import Any

import optax

from ..infer import Checkpoint, EarlyStopping
from ..infer.rows._inputs import Seed
from ._base import AbstractFieldEstimator


class AbstractModeEstimator(AbstractFieldEstimator):
    """Base class of estimators whose members are point estimates."""

    def fit(
        self,
        df: Any,
        seed: Seed,
        ensemble_size: int = 16,
        num_epochs: int = 5000,
        learning_rate: float | optax.Schedule = 0.005,
        batch_size: int | None = None,
        *,
        num_splits: int = 1,
        progress_bar: bool = True,
        early_stopping: EarlyStopping | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> "AbstractModeEstimator":
        """Fit all members at once in one compiled program.

        Args:
            df: The training table: a pandas DataFrame, or (through narwhals) a table of another
                library. Rows without a target are left out, with a warning that counts them.
            seed: An integer or a JAX random key.
            ensemble_size: The number of members, at least 1.
            num_epochs: Number of passes over the data, at least 1. Each pass takes one
                optimizer step per full batch.
            learning_rate: Adam's learning rate, positive; or an optax schedule, a function of
                the step (there are `num_epochs * (rows // batch_size)` steps).
            batch_size: Number of rows per step; all rows if None.
            num_splits: Number of groups in which members are trained one after another, to save
                memory; it must divide `ensemble_size`.
            progress_bar: Whether to show progress.
            early_stopping: When to stop each member; None for no early stopping. See
                `EarlyStopping`.
            checkpoint: Where to save the run at intervals; a run resumes from an existing file.
                See `Checkpoint`.

        Returns:
            This estimator, with the attributes ``params_``, by name; ``losses_``, (members,
            steps) in nats; and ``table_``, the `SpatiotemporalFit`.

        Raises:
            ImportError: If pandas is not installed.
            TypeError: If an argument has the wrong type, or a column is not numeric.
            ValueError: If a column does not exist, a feature is missing or infinite, no row
                has a target, or a setting or argument is out of range.
        """
        self._train(
            df,
            seed,
            ensemble_size=ensemble_size,
            num_epochs=num_epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            num_splits=num_splits,
            progress_bar=progress_bar,
            early_stopping=early_stopping,
            checkpoint=checkpoint,
        )
        return self


class BayesianNeuralFieldMAP(AbstractModeEstimator):
    r"""Bayesian neural field for a table: an ensemble of posterior modes.

    The target $y$ at a place and time $x$ has the distribution, with the field $f$ of
    `BayesianNeuralField` and the mean $m$ and standard deviation $s$ of the training targets,

    $$y \sim \mathrm{Normal}\big(m + s f(x),\; s\,(0.01 + e^{l})\big), \qquad
    l \sim \mathrm{Logistic}(0, 1)$$

    or, for counts, a negative binomial distribution, where $s$ is the mean of the training
    targets,

    $$\mathrm{E}[y] = \mu = s\, \log(1 + e^{f(x)}), \qquad
    \mathrm{Var}[y] = \mu + \mu^2 \log(1 + e^{r}), \qquad
    r \sim \mathrm{Logistic}(-1.5, 1)$$

    or its zero-inflated version, with an additional zero with probability $1 / (1 + e^{-z})$,
    $z \sim \mathrm{Logistic}(0, 1)$. All priors are on the scale of a field of order one, so
    predictions do not depend on the units of the target.

    Each member maximizes the posterior density from its own initial values; predictions are
    those of the mixture of members. The settings and the arguments of `fit` and `predict` are
    those of the class of the same name in the package bayesnf, so in a script only the import
    changes. The differences: targets are standardized (bayesnf fits them unscaled, which suits
    targets of order one), counts have the mean above (in bayesnf it decreases with $f$),
    `width` is 256 by default, `predict` returns the mean over members, and a year has 365.2425
    days.

    Args:
        width: Number of units of each hidden layer, at least 1.
        depth: Number of hidden layers, at least 1.
        freq: The unit of time as a pandas frequency string: hour, day, week, month, quarter or
            year. None for numeric times.
        seasonality_periods: Periods in units of `freq`, or names of units: ``["Y"]``.
        num_seasonal_harmonics: Number of harmonics of each period, at most half the period.
        feature_cols: Names of the input columns: first the time, then coordinates and other
            features.
        target_col: Name of the column to predict.
        observation_model: ``"NORMAL"``, ``"NB"`` (negative binomial, for counts) or ``"ZINB"``
            (zero-inflated negative binomial).
        timetype: ``"index"`` (or ``"datetime"``) for dates, ``"float"`` (or ``"int"``) for
            numeric times.
        standardize: Names of the features to standardize; preferably all except the time.
        interactions: Pairs of positions in `feature_cols` whose product is a feature.
        fourier_degrees: The number of Fourier degrees of each feature; 5 for each if None.

    Example:
        >>> import pandas as pd
        >>> df = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=40), "x": 0.0})
        >>> df["y"] = 20.0 + df.index % 7
        >>> field = BayesianNeuralFieldMAP(width=8, depth=1, freq="D", feature_cols=["day"],
        ...     target_col="y", seasonality_periods=["W"], num_seasonal_harmonics=[3],
        ...     fourier_degrees=[0])
        >>> field = field.fit(df, 0, ensemble_size=2, num_epochs=500, learning_rate=0.02,
        ...                   progress_bar=False)
        >>> mean, (low, high) = field.predict(df[:3], quantiles=(0.1, 0.9))
        >>> mean.round().tolist(), bool((low < mean).all() and (mean < high).all())
        ([20.0, 21.0, 22.0], True)

    References:
        Saad, Burnim, Carroll, Patton, Köster, Saurous, Hoffman (2024), "Scalable
        spatiotemporal prediction with Bayesian neural fields", Nature Communications 15.
    """


class BayesianNeuralFieldMLE(AbstractModeEstimator):
    """Bayesian neural field for a table: an ensemble of maximum likelihood fits.

    This is `BayesianNeuralFieldMAP` without the prior: a deep ensemble. Settings and arguments
    are the same.

    Args:
        width: See `BayesianNeuralFieldMAP`.
        depth: See there.
        freq: See there.
        seasonality_periods: See there.
        num_seasonal_harmonics: See there.
        feature_cols: See there.
        target_col: See there.
        observation_model: See there.
        timetype: See there.
        standardize: See there.
        interactions: See there.
        fourier_degrees: See there.

    Example:
        >>> field = BayesianNeuralFieldMLE(feature_cols=["day"], target_col="y", freq="D")
        >>> field.get_params()["width"], field.target_col
        (256, 'y')

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), "Simple and scalable predictive
        uncertainty estimation using deep ensembles", NeurIPS.
    """

    _has_prior = False


class BayesianNeuralFieldVI(AbstractFieldEstimator):
    r"""Bayesian neural field for a table: an ensemble of variational fits.

    The model is that of `BayesianNeuralFieldMAP`. Each member has a mean-field normal $q$ and
    maximizes

    $$E_q \log p(y \mid \theta) - w\, \mathrm{KL}(q \,\|\, p)$$

    Predictions are the mixture over members and their posterior draws.

    Args:
        width: See `BayesianNeuralFieldMAP`.
        depth: See there.
        freq: See there.
        seasonality_periods: See there.
        num_seasonal_harmonics: See there.
        feature_cols: See there.
        target_col: See there.
        observation_model: See there.
        timetype: See there.
        standardize: See there.
        interactions: See there.
        fourier_degrees: See there.

    Example:
        >>> import pandas as pd
        >>> df = pd.DataFrame({"t": [0.0, 1.0, 2.0], "y": [1, 0, 2]})
        >>> field = BayesianNeuralFieldVI(width=4, timetype="float", feature_cols=["t"],
        ...                               target_col="y", observation_model="NB")
        >>> field = field.fit(df, 0, ensemble_size=2, num_epochs=3, num_particles=1,
        ...                   progress_bar=False)
        >>> field.likelihood_model(df).batch_shape  # 2 members with 30 draws, 3 rows
        (60, 3)

    References:
        Saad et al. (2024), "Scalable spatiotemporal prediction with Bayesian neural
        fields", Nature Communications 15; Higgins et al. (2017), "beta-VAE: learning basic
        visual concepts with a constrained variational framework", ICLR, for the weight.
    """

    # Small enough that noise does not dominate the first steps (bayesnf starts at 0.3).
    _init_scale = 0.05

    def fit(
        self,
        df: Any,
        seed: Seed,
        ensemble_size: int = 16,
        num_epochs: int = 1000,
        learning_rate: float | optax.Schedule = 0.005,
        batch_size: int | None = None,
        *,
        num_particles: int = 5,
        kl_weight: float = 0.1,
        sample_size_posterior: int = 30,
        sample_size_divergence: int | None = None,
        progress_bar: bool = True,
        early_stopping: EarlyStopping | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> "BayesianNeuralFieldVI":
        """Fit all members at once in one compiled program.

        Args:
            df: The training table: a pandas DataFrame, or (through narwhals) a table of another
                library. Rows without a target are left out, with a warning that counts them.
            seed: An integer or a JAX random key.
            ensemble_size: The number of members, at least 1.
            num_epochs: Number of passes over the data, at least 1. Each pass takes one
                optimizer step per full batch.
            learning_rate: Adam's learning rate, positive; or an optax schedule, a function of
                the step (there are `num_epochs * (rows // batch_size)` steps).
            batch_size: Number of rows per step; all rows if None.
            num_particles: Number of posterior draws per step, at least 1.
            kl_weight: The weight $w$ of the KL divergence, positive.
            sample_size_posterior: Number of posterior draws per member for predictions, at
                least 1.
            sample_size_divergence: The name of `num_particles` in bayesnf; overrides it if
                given.
            progress_bar: Whether to show progress.
            early_stopping: When to stop each member; None for no early stopping. See
                `EarlyStopping`.
            checkpoint: Where to save the run at intervals; a run resumes from an existing file.
                See `Checkpoint`.

        Returns:
            This estimator, with the attributes ``params_``, by name; ``losses_``, (members,
            steps) in nats; and ``table_``, the `SpatiotemporalFit`.

        Raises:
            ImportError: If pandas is not installed.
            TypeError: If an argument has the wrong type, or a column is not numeric.
            ValueError: If a column does not exist, a feature is missing or infinite, no row
                has a target, or a setting or argument is out of range.
        """
        if sample_size_divergence is not None:
            num_particles = sample_size_divergence
        self._train(
            df,
            seed,
            ensemble_size=ensemble_size,
            num_epochs=num_epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            progress_bar=progress_bar,
            early_stopping=early_stopping,
            checkpoint=checkpoint,
            sample_size_posterior=sample_size_posterior,
            kl_weight=kl_weight,
            num_particles=num_particles,
        )
        return self
