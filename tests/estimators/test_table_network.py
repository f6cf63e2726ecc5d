"""The network of a table, and the products of its fit in half precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed
from numpyro.infer.util import log_density

from numpyro_bayeslayers.estimators import BayesianRegressor
from numpyro_bayeslayers.estimators._table_network import Network, model_of
from tests.estimators.rows import QUICK, X, Y


@pytest.fixture(scope="module")
def half():
    return BayesianRegressor(**QUICK, precision="bfloat16").fit(X, Y)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_of_a_fit_have_its_precision_and_its_loss_has_not(precision):
    """By the program: operands of each product of rows, the types of density and gradient."""
    network = Network(2, (3,), "relu", "normal", precision=precision)
    model = seed(model_of(network), 0)
    ones = jnp.ones(5)
    args = jnp.ones((5, 2)), ones, ones, 0 * ones, ones
    density = lambda sites: log_density(model, args, {}, sites)[0]
    sites = {"hidden_0.weight": jnp.ones((2, 3))}
    program = jax.make_jaxpr(jax.value_and_grad(density))(sites)
    products = [e for e in program.jaxpr.eqns if e.primitive.name == "dot_general"]
    operands = {str(v.aval.dtype) for e in products for v in e.invars}
    assert len(products) >= 5 and operands == {precision}
    assert [v.aval.dtype for v in program.jaxpr.outvars] == [jnp.float32] * 2


def test_half_precision_moves_predictions_by_its_rounding(half):
    """Inputs and weights are rounded by up to 2^-9 of their size, in units of order one."""
    full = BayesianRegressor(**QUICK).fit(X, Y)
    off = np.abs(half.predict(X) - full.predict(X)) / Y.std()
    assert 0 < off.max() < 3 * 2**-8
    spread = half.predict(X, return_std=True)[1] / full.predict(X, return_std=True)[1]
    np.testing.assert_allclose(spread, 1.0, atol=0.05)
    assert half.losses_.dtype == np.float32
    assert all(x.dtype == np.float32 for x in half.draws_.values())
    per_row = (half.losses_[:, -1] - full.losses_[:, -1]) / 60
    np.testing.assert_allclose(per_row, 0.0, atol=0.01)


def test_precision_is_kept_in_a_file(half, tmp_path):
    half.save(tmp_path / "model")
    again = BayesianRegressor.load(tmp_path / "model")
    assert again.get_params()["precision"] == again.network_.precision == "bfloat16"
    np.testing.assert_array_equal(again.predict(X), half.predict(X))


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="`precision` must be one of"):
        BayesianRegressor(precision="half").fit(X, Y)
