"""Student weights: the laws of layers, the prior, the formula, what is refused.

In your copy the laws come with the row in `tests/cases`, and `check_layer` can go.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, trace
from scipy import stats

from examples.skeletons.layer import DenseStudentT
from numpyro_bayeslayers.testing import check_layer

# Errors are those that users see: without the run-time checks of annotations.
pytestmark = pytest.mark.usefixtures("as_users_run")

X = jax.random.normal(jax.random.key(0), (5, 3))


def test_keeps_the_laws():
    check_layer(DenseStudentT(3, 2, name="f"), X)


def test_prior_and_formula():
    """The density by SciPy and the product by NumPy: routes that share nothing with ours."""
    layer = DenseStudentT(3, 2, df=3.0, scale=0.5)
    sites = trace(seed(layer, 0)).get_trace(X)
    assert list(sites) == ["dense_student_t.weight", "dense_student_t.bias"]
    (w, w_fn), (b, _) = ((site["value"], site["fn"]) for site in sites.values())
    expected = stats.t(3.0, scale=0.5).logpdf(w).sum()
    np.testing.assert_allclose(w_fn.log_prob(w), expected, rtol=1e-5)
    found = seed(layer, 0)(X)
    np.testing.assert_allclose(found, np.asarray(X) @ w + b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((0, 2), ValueError, "`in_features` must be a positive integer, got 0"),
        ((3, 2.0), TypeError, r"`out_features` must be a positive integer, got 2\.0"),
        ((3, 2, -1.0), ValueError, r"`df` must be positive and finite, got -1\.0"),
        ((3, 2, 4.0, 0.0), ValueError, r"`scale` must be positive and finite, got 0\.0"),
    ],
)
def test_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        DenseStudentT(*arguments)


def test_refuses_inputs_of_another_width():
    with pytest.raises(ValueError, match=r"`x` must have 3 entries in its last axis"):
        seed(DenseStudentT(3, 2), 0)(jnp.ones((5, 4)))
