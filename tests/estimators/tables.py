"""Small tables, and fits of them."""

import numpy as np
import pandas as pd

from numpyro_bayeslayers.estimators import (
    BayesianNeuralFieldMAP,
    BayesianNeuralFieldMLE,
    BayesianNeuralFieldVI,
)

ALL = [BayesianNeuralFieldMAP, BayesianNeuralFieldMLE, BayesianNeuralFieldVI]
SETTINGS = {
    "width": 3,
    "depth": 1,
    "freq": "D",
    "feature_cols": ["day", "x"],
    "target_col": "y",
    "fourier_degrees": [0, 0],
    "standardize": ["x"],
}
QUICK = {"ensemble_size": 2, "num_epochs": 3, "progress_bar": False}


def table(days=12, counts=False):
    df = pd.concat(
        pd.DataFrame({"day": pd.date_range("2024-01-01", periods=days), "x": x})
        for x in (10.0, 20.0)
    ).reset_index(drop=True)
    y = 5.0 + np.arange(len(df)) % 5 + 0.2 * df["x"]
    return df.assign(y=np.round(y) if counts else y + 0.25)


def fit(kind, df=None, settings=None, **options):
    field = kind(**SETTINGS | (settings or {}))
    return field.fit(
        table() if df is None else df, options.pop("seed", 0), **QUICK | options
    )
