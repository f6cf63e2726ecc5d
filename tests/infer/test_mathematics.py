"""Models as mathematics, against what was written by hand."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_bayeslayers.infer import describe
from numpyro_bayeslayers.layers import FixedPriorLayer, RandomEffectsLayer, gaussian_link


def model(x, group, y=None):
    slope = FixedPriorLayer(dist.Laplace(0.0, jnp.array([[0.5], [2.0]])))("age", x)
    level = RandomEffectsLayer()("store", group, 3)
    shift = numpyro.sample("shift", dist.Normal(jnp.arange(9.0), 1.0).to_event(1))
    gaussian_link(slope + level + shift[0], y, name="price_a")


def test_laws_parameters_and_what_they_are_made_of():
    """Numbers are those of the priors; a law depends on the coefficients, not their bases."""
    found = describe(model, jnp.ones((4, 2)), jnp.array([0, 1, 2, 0]))
    assert str(found).splitlines() == [
        "age.beta (2, 1) ~ Laplace(0, [0.5, 2])",
        "store.scale ~ HalfNormal(1)",
        "store.theta_base (3, 1) ~ Normal(0, 1)",
        "store.theta (3, 1) = f(store.scale, store.theta_base)",
        "shift (9) ~ Normal([0 to 8], 1)",
        "price_a.sigma ~ Exponential(1)",
        "price_a (4) ~ Normal(f(age.beta, store.theta, shift), price_a.sigma)",
    ]
    assert r"\beta_{\text{age}} &\sim \text{Laplace}" in found.latex
    assert (
        r"\tilde{\theta}_{\text{store}} &\sim \mathcal{N}\left(0,\ 1\right)" in found.latex
    )
    assert r"\sigma_{\text{price\_a}}" in found.latex
    assert found._repr_latex_() == found.latex


@pytest.mark.usefixtures("as_users_run")
def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="`model`"):
        describe(3)
