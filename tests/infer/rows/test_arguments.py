"""Data at the doors of ensembles: arrays keep their values, what is none is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from numpyro.infer import NUTS
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import (
    EnsembleMAP,
    EnsembleMCMC,
    EnsembleSVI,
    ensemble_predict,
)
from numpyro_bayeslayers.infer.rows._arguments import take_apart

from ..svi_problems import X, Y, model

pytestmark = pytest.mark.usefixtures("as_users_run")

TABLE = pd.DataFrame(np.asarray(X), columns=["a", "b"])
ADAM = optax.adam(0.1)


def run_map(x, y):
    log_joint = lambda w, x, y: (-jnp.sum((y - x @ w) ** 2), -jnp.sum(w**2))
    return EnsembleMAP(log_joint, lambda key: jnp.zeros(2), ADAM, 2).run(0, 1, x, y)


DOORS = {
    "svi": lambda x, y: EnsembleSVI(model, AutoNormal, ADAM, num_members=2).run(0, 1, x, y),
    "map": run_map,
    "mcmc": lambda x, y: EnsembleMCMC(NUTS(model), 1, 1, 2).run(0, x, y=y),
    "predict": lambda x, y: ensemble_predict(jnp.ones((2, 2)), lambda w, x: x @ w, x),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (TABLE, TypeError, r"must be an array, got a DataFrame. Pass .*to_numpy"),
        (np.ma.masked_array(X, np.asarray(X) > 1), ValueError, "no masked entries"),
        (np.full((12, 2), "2024", "M8[D]"), TypeError, "holds dates"),
        (np.full((12, 2), "word"), TypeError, "must hold numbers, got strings"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(door, x, kind, message):
    with pytest.raises(kind, match=f"`(argument 0|x|x_new)` .*{message}"):
        DOORS[door](x, Y)


def test_arrays_keep_their_values():
    large = np.array([1, 5_000_000_000, 8_000_000_000])
    given = {
        "large": large,
        "swapped": np.array([1, 2, 3], ">i4"),
        "long": np.array([1, 2, 3], np.longdouble),
        "open": np.ma.masked_array([1, 2, 3], False),
    }
    rows = take_apart((), given).rows
    found = dict(zip(sorted(given), rows, strict=True))
    np.testing.assert_allclose(found["large"], large.astype(float), rtol=1e-6)
    for name in ("swapped", "long", "open"):
        assert isinstance(found[name], jax.Array) and found[name].tolist() == [1, 2, 3]


def test_no_rows():
    with pytest.raises(ValueError, match="at least one row, got none"):
        take_apart((X[:0], Y[:0]), {})
