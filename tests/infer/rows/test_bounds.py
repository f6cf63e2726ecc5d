"""Bounds that the data or latent sites decide: right where they are looked at, else refused."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints
from numpyro.infer.autoguide import AutoDelta, AutoNormal

from numpyro_bayeslayers.infer import VI, EnsembleSVI, EnsembleVI, Stein, fit

pytestmark = pytest.mark.usefixtures("as_users_run")

X = np.linspace(0.5, 2.0, 8)
Y = 0.7 * X
QUIET = {"progress_bar": False}


def of_law(law):
    """A slope that has a law of the data; the model at it."""

    def model(x, y=None):
        z = law(x)
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.Normal(z * x, 1.0), obs=y)

    return model


def of_rows(x, y=None):
    with numpyro.plate("rows", len(x)):
        z = numpyro.sample("z", dist.Uniform(0, x))
        numpyro.sample("y", dist.Normal(z, 1.0), obs=y)


def within(ends):
    return of_law(lambda x: numpyro.sample("z", dist.Uniform(*ends(x))))


LATENT = within(lambda x: (0, numpyro.sample("a", dist.HalfNormal(1.0))))
PARAM = within(lambda x: (0, numpyro.param("a", 1.0)))
DATA = within(lambda x: (x.min(), x.max()))
TRUNCATED = of_law(
    lambda x: numpyro.sample("z", dist.TruncatedNormal(0.0, 1.0, low=x.mean()))
)
MOVING = {
    "latent": (LATENT, "other latent sites or parameters"),
    "parameter": (PARAM, "other latent sites or parameters"),
    "data": (DATA, "the data"),
    "truncated": (TRUNCATED, "the data"),
    "rows": (of_rows, "the data"),
}
ADAM = optax.adam(0.05)
DOORS = {
    "fit": lambda model: fit(model, y=Y, x=X, num_steps=2, **QUIET),
    "EnsembleSVI": lambda model: EnsembleSVI(model, AutoDelta, ADAM).run(
        0, 2, X, Y, **QUIET
    ),
    "EnsembleVI": lambda model: EnsembleVI(model, AutoNormal, ADAM).run(
        0, 2, X, Y, **QUIET
    ),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", MOVING)
def test_supports_that_move_are_refused_by_guides_that_keep_them(door, kind):
    model, what = MOVING[kind]
    with pytest.raises(
        ValueError, match=f"support of the latent sites 'z' depends on {what}"
    ):
        DOORS[door](model)


@pytest.mark.slow
def test_stein_refuses_them_where_it_would_be_wrong():
    """Its guide is set up on the data: bounds of all rows are right, those of some are not."""
    run = lambda model, **how: fit(
        model, y=Y, x=X, method=Stein(num_particles=3), num_steps=3, **how, **QUIET
    )
    for model in (LATENT, PARAM):
        with pytest.raises(ValueError, match="'z' depends on other latent sites"):
            run(model)
    with pytest.raises(ValueError, match="rows of the model depend on other rows"):
        run(DATA, batch_size=4)
    drawn = np.asarray(run(DATA).draws(num_samples=20)["z"])
    assert drawn.min() >= 0.5 and drawn.max() <= 2.0 and np.ptp(drawn) > 0


def test_constraints_that_move_are_refused():
    def guide(x, y=None):
        end = constraints.interval(0.0, x.max())
        numpyro.sample("z", dist.Delta(numpyro.param("at", 0.5, constraint=end)))

    model = of_law(lambda x: numpyro.sample("z", dist.Normal(0, 1)))
    with pytest.raises(
        ValueError, match="constraint of the parameters 'at' depends on the d"
    ):
        EnsembleSVI(model, guide, ADAM).run(0, 2, X, Y, **QUIET)


def test_a_guide_of_ones_own_knows_what_it_does():
    def guide(x, y=None):
        share = numpyro.param("share", 0.5, constraint=constraints.unit_interval)
        numpyro.sample("z", dist.Delta(x.min() + share * (x.max() - x.min())))

    ensemble = EnsembleSVI(DATA, guide, ADAM, num_members=1)
    result = ensemble.run(0, 2, X, Y, **QUIET)
    drawn = ensemble.predict(1, result, X, num_samples=1, return_sites=["z"])["z"]
    right = 0.5 + 1.5 * float(result.params["share"][0])
    assert float(drawn[0, 0]) == pytest.approx(right, rel=1e-5)


def test_bounds_of_observations_may_move():
    """The mode under a likelihood that is cut at a row's own bound, by a fine grid."""

    def model(x, y=None):
        w = numpyro.sample("w", dist.Normal(0, 1))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("y", dist.TruncatedNormal(w, 1.0, low=x * 0.1), obs=y)

    found = fit(
        model, y=Y, x=X, method=VI(guide="delta", optim=0.1), num_steps=300, **QUIET
    )
    grid = jnp.linspace(-3, 3, 6001)
    law = dist.TruncatedNormal(grid[:, None], 1.0, low=jnp.asarray(0.1 * X))
    density = dist.Normal().log_prob(grid) + law.log_prob(jnp.asarray(Y)).sum(1)
    assert float(found.params["w_auto_loc"][0]) == pytest.approx(
        float(grid[density.argmax()]), abs=5e-3
    )
