"""Estimators in files: the same predictions, and files of others are refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from numpyro_bayeslayers.estimators import BayesianNeuralFieldMAP, BayesianNeuralFieldVI

from .tables import SETTINGS, table

pytestmark = pytest.mark.usefixtures("as_users_run")

READ = """
import sys
import numpy as np
import numpyro_bayeslayers.estimators as estimators
from tests.estimators.tables import table
for arg in sys.argv[1:]:
    kind, path = arg.split("=")
    mean, found = getattr(estimators, kind).load(path).predict(table(5), (0.1, 0.9))
    np.savez(path + ".npz", mean=mean, found=np.stack(found))
"""


@pytest.mark.slow
def test_another_process_predicts_the_same(fitted, tmp_path):
    """To the last bit, for each estimator and observation model."""
    args = []
    for name, field in fitted.items():
        field.save(tmp_path / name)
        args.append(f"{type(field).__name__}={tmp_path / name}")
    code = [sys.executable, "-c", READ, *args]
    done = subprocess.run(
        code, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 0, done.stderr
    for name, field in fitted.items():
        there = np.load(tmp_path / f"{name}.npz")
        mean, found = field.predict(table(5), (0.1, 0.9))
        assert there["mean"].tobytes() == mean.tobytes()
        assert there["found"].tobytes() == np.stack(found).tobytes()


def test_what_was_learned_comes_back(normal, tmp_path):
    normal.save(tmp_path / "field")
    again = type(normal).load(tmp_path / "field")
    assert again.table_ == normal.table_ and again.units_ == normal.units_
    assert again.get_params() == normal.get_params()
    np.testing.assert_array_equal(again.losses_, normal.losses_)


def test_settings_of_other_types(fitted, tmp_path):
    field = fitted["NORMAL"]
    was = field.feature_cols
    field.set_params(feature_cols=pd.Index(was), fourier_degrees=np.array([0, 0]))
    try:
        field.save(tmp_path / "field")
        again = type(field).load(tmp_path / "field")
        assert again.feature_cols == was
        assert isinstance(again.fourier_degrees, np.ndarray)
    finally:
        field.set_params(feature_cols=was, fourier_degrees=[0, 0])


def test_errors(normal, tmp_path):
    with pytest.raises(NotFittedError):
        BayesianNeuralFieldMAP(**SETTINGS).save(tmp_path / "field")
    normal.save(tmp_path / "field")
    assert not isinstance(normal, BayesianNeuralFieldVI)
    with pytest.raises(
        ValueError, match=f"contains a {type(normal).__name__}. Load it with"
    ):
        BayesianNeuralFieldVI.load(tmp_path / "field")
