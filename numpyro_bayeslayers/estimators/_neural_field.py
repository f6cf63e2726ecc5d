"""The three estimators: points or normals, with the prior or without."""

from typing import Any

import optax

from ..infer import Checkpoint, EarlyStopping
from ..infer.training._inputs import Seed
from ._base import AbstractFieldEstimator


class AbstractModeEstimator(AbstractFieldEstimator):
    """Members are single values of the parameters."""

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
        """Fit all members at once, as one compiled program.

        Args:
            df: The training table: of pandas, or (through narwhals) of another library. Rows
                without a target are left out, with a warning that counts them.
            seed: An integer or a key.
            ensemble_size: The number of members, at least 1.
            num_epochs: Passes over the data, at least 1. Each pass takes one step of the
                optimizer for each full batch.
            learning_rate: That of Adam, positive; or a schedule of optax, from the step (there
                are `num_epochs * (rows // batch_size)`) to the rate.
            batch_size: Rows in a step; all rows if None.
            num_splits: The number of groups in which members are trained, one after
                another, to need less memory; it divides `ensemble_size`.
            progress_bar: Whether to show progress.
            early_stopping: Stop each member when its loss no longer falls.
            checkpoint: Save the run as it goes; a run that finds its file goes on from it.

        Returns:
            This estimator. It has got ``params_``, by name, and ``losses_`` (members,
            steps) in nats, and ``table_``, the `SpatiotemporalFit`.

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
    r"""A Bayesian neural field for a table, by an ensemble of posterior modes.

    The target $y$ at a place and time $x$ is, with the field $f$ of `BayesianNeuralField`
    and the training targets' mean $m$ and standard deviation $s$,

    $$y \sim \mathrm{Normal}\big(m + s f(x),\; s\,(0.01 + e^{l})\big), \qquad
    l \sim \mathrm{Logistic}(0, 1)$$

    or a count: negative binomial, with the training targets' mean $s$,

    $$\mathrm{E}[y] = \mu = s\, \log(1 + e^{f(x)}), \qquad
    \mathrm{Var}[y] = \mu + \mu^2 \log(1 + e^{r}), \qquad
    r \sim \mathrm{Logistic}(-1.5, 1)$$

    or the same with more zeros: zero with probability $1 / (1 + e^{-z})$,
    $z \sim \mathrm{Logistic}(0, 1)$. All priors are on a field of order one: targets in
    grams and in tons give the same predictions, each in its own units.

    Each member maximizes the posterior density from its own start; predictions are those
    of their mixture. The settings and the arguments of `fit` and `predict` are those of the
    class of this name in the package bayesnf, so that a script needs another import only.
    What differs: targets are in units of their own (bayesnf fits them as they are, which is
    right for those of order one), counts have the mean above (bayesnf's falls with $f$),
    `width` is 256 if not given, `predict` gives the members' mean, and a year is 365.2425
    days.

    Args:
        width: Units of each hidden layer.
        depth: The number of hidden layers.
        freq: The unit of time: hour, day, week, month, quarter or year in the letters of
            pandas. None for times that are numbers.
        seasonality_periods: Periods in units of `freq`, or units themselves: ``["Y"]``.
        num_seasonal_harmonics: The number of harmonics of each period, at most half of it.
        feature_cols: Names of the columns of inputs: first the time, then places and others.
        target_col: Name of the column to predict.
        observation_model: ``"NORMAL"``, ``"NB"`` (negative binomial counts) or ``"ZINB"``
            (with more zeros).
        timetype: ``"index"`` (or ``"datetime"``) for dates, ``"float"`` (or ``"int"``) for
            numbers.
        standardize: Names of the features to standardize; best all but the time.
        interactions: Pairs of positions in `feature_cols` whose product is a feature.
        fourier_degrees: The number of Fourier degrees of each feature; 5 each if None.

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
        Saad, Burnim, Carroll, Patton, Köster, Saurous and Hoffman (2024), Scalable
        spatiotemporal prediction with Bayesian neural fields, Nature Communications 15.
    """


class BayesianNeuralFieldMLE(AbstractModeEstimator):
    """A Bayesian neural field for a table, by an ensemble of maximum likelihood fits.

    `BayesianNeuralFieldMAP` without the prior: a deep ensemble. Settings and arguments are
    the same.

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
        Lakshminarayanan, Pritzel and Blundell (2017), Simple and scalable predictive
        uncertainty estimation using deep ensembles, NeurIPS.
    """

    _has_prior = False


class BayesianNeuralFieldVI(AbstractFieldEstimator):
    r"""A Bayesian neural field for a table, by an ensemble of variational fits.

    The model is that of `BayesianNeuralFieldMAP`. Each member has a normal $q$ with a mean
    and a deviation of its own for each parameter, and maximizes

    $$E_q \log p(y \mid \theta) - w\, \mathrm{KL}(q \,\|\, p)$$

    Predictions are the mixture over members and over draws of each.

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
        Saad et al. (2024), Scalable spatiotemporal prediction with Bayesian neural fields,
        Nature Communications 15; Higgins et al. (2017), "beta-VAE: learning basic visual
        concepts with a constrained variational framework", ICLR, for the weight.
    """

    # Small enough that noise does not drown the first steps (bayesnf starts at 0.3).
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
        """Fit all members at once, as one compiled program.

        Args:
            df: The training table: of pandas, or (through narwhals) of another library. Rows
                without a target are left out, with a warning that counts them.
            seed: An integer or a key.
            ensemble_size: The number of members, at least 1.
            num_epochs: Passes over the data, at least 1. Each pass takes one step of the
                optimizer for each full batch.
            learning_rate: That of Adam, positive; or a schedule of optax, from the step (there
                are `num_epochs * (rows // batch_size)`) to the rate.
            batch_size: Rows in a step; all rows if None.
            num_particles: Draws of the parameters for each step, at least 1.
            kl_weight: The weight $w$ of the divergence, positive.
            sample_size_posterior: Draws of each member for predictions, at least 1.
            sample_size_divergence: The name that bayesnf has for `num_particles`; it takes
                its place if given.
            progress_bar: Whether to show progress.
            early_stopping: Stop each member when its loss no longer falls.
            checkpoint: Save the run as it goes; a run that finds its file goes on from it.

        Returns:
            This estimator. It has got ``params_``, by name, and ``losses_`` (members,
            steps) in nats, and ``table_``, the `SpatiotemporalFit`.

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
