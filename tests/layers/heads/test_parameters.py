"""A likelihood's own parameters: given or drawn, one for each output, and no rows."""

import functools

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import mask, scale, seed, substitute, trace
from numpyro.infer.util import log_density
from scipy import stats

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.handlers import ensemble
from tests.quick import mostly_slow

from .cases import CASES, MU, N

# The link, its argument, its site, a prior of another kind, and a value.
PARAMETERS = {
    "sigma": (layers.gaussian_link, "sigma_dist", "sigma", dist.LogNormal(0.0, 1.0), None),
    "scale": (layers.lognormal_link, "scale", "sigma", dist.Gamma(2.0, 2.0), 0.5),
    "df": (layers.student_t_link, "df", "df", dist.Gamma(2.0, 0.1), 3.0),
    "concentration": (
        layers.negative_binomial_link,
        "concentration",
        "concentration",
        dist.Exponential(2.0),
        3.0,
    ),
    "gate": (layers.zip_link, "gate", "gate", dist.Beta(2.0, 2.0), 0.3),
    "gamma": (
        layers.gamma_link,
        "concentration",
        "concentration",
        dist.Gamma(2.0, 0.1),
        3.0,
    ),
    "shape": (layers.inverse_gaussian_link, "shape", "shape", dist.Gamma(2.0, 0.1), 3.0),
    "weibull": (
        layers.weibull_link,
        "concentration",
        "concentration",
        dist.Gamma(2.0, 0.1),
        3.0,
    ),
    "hurdle": (layers.hurdle_poisson_link, "gate", "gate", dist.Beta(2.0, 2.0), 0.3),
    "zinb": (layers.zinb_link, "gate", "gate", dist.Beta(2.0, 2.0), 0.3),
    "ends": (
        functools.partial(layers.zero_one_beta_link, ones=0.5, precision=5.0),
        "ends",
        "ends",
        dist.Beta(2.0, 2.0),
        0.3,
    ),
    "precision": (layers.beta_link, "precision", "precision", dist.Gamma(2.0, 0.1), 30.0),
}


def sites_of(model):
    return trace(seed(model, 0)).get_trace()


def test_an_improper_prior():
    """Flat on positive numbers: what is left is the density of the observations."""
    flat = lambda support: dist.ImproperUniform(support, (), ())
    link = lambda scale: layers.gaussian_link(np.zeros(3), np.ones(3), scale=scale)
    positive = flat(dist.constraints.positive)
    got, _ = log_density(link, (positive,), {}, {"obs.sigma": 2.0})
    assert float(got) == pytest.approx(3 * stats.norm(0.0, 2.0).logpdf(1.0), rel=1e-5)
    with pytest.raises(ValueError, match="must have a scalar prior of positive numbers"):
        link(flat(dist.constraints.real))


@pytest.mark.parametrize("name", mostly_slow(PARAMETERS, {"weibull", "precision"}))
def test_a_parameter_is_a_prior_or_a_value(name):
    link, argument, site, prior, value = PARAMETERS[name]
    mu = jnp.zeros((N, 1))
    drawn = sites_of(lambda: link(mu, **{argument: prior}))[f"obs.{site}"]
    assert type(drawn["fn"]) is type(prior) and drawn["value"].shape == ()
    # One for each output, its entries independent.
    several = sites_of(lambda: link(jnp.zeros((N, 3)), **{argument: prior}))
    assert several[f"obs.{site}"]["fn"].event_shape == (3,)
    assert several["obs"]["value"].shape == (N, 3)
    if value is None:
        return
    given = sites_of(lambda: link(mu, **{argument: value}))
    assert f"obs.{site}" not in given
    laws = {
        "row": link_law(link, mu, {argument: jnp.full(N, value)}),
        "output": link_law(link, jnp.zeros((N, 3)), {argument: jnp.full(3, value)}),
        "row of several": link_law(link, jnp.zeros((N, 3)), {argument: jnp.full(N, value)}),
    }
    for law in laws.values():
        np.testing.assert_allclose(law.mean, given["obs"]["fn"].mean[0], rtol=1e-5)


def link_law(link, mu, more):
    return sites_of(lambda: link(mu, **more))["obs"]["fn"]


def test_each_output_has_its_own_noise():
    sigma, y = np.array([0.1, 1.0]), np.ones((N, 2))
    model = lambda: layers.gaussian_link(jnp.zeros((N, 2)), jnp.asarray(y))
    site = sites_of(substitute(model, data={"obs.sigma": jnp.asarray(sigma)}))["obs"]
    np.testing.assert_allclose(
        site["fn"].log_prob(site["value"]), stats.norm(0, sigma).logpdf(y), rtol=1e-5
    )

    def grouped():
        with numpyro.plate("groups", 4):
            layers.gaussian_link(jnp.zeros((4, N, 2)), jnp.asarray(y))

    for many in (grouped, ensemble(model, 4)):
        sites = sites_of(many)
        assert sites["obs.sigma"]["fn"].event_shape == (2,)
        assert sites["obs.sigma"]["value"].size == 8
        assert sites["obs"]["fn"].shape()[-2:] == (N, 2)


def test_cut_points_of_each_output_and_given_ones():
    y = jnp.zeros((N, 2), int)
    sites = sites_of(lambda: layers.ordinal_link(jnp.zeros((N, 2)), y, 4))
    shapes = {name: site["value"].shape for name, site in sites.items()}
    assert shapes == {"obs.first_cut": (2,), "obs.gaps": (2, 2), "obs": (N, 2)}
    link, hyper, y, oracle = CASES["ordinal"]
    mu = jnp.asarray(MU, jnp.float32)
    known = sites_of(lambda: link(mu, jnp.asarray(y), "a", **hyper))
    assert list(known) == ["a"]
    np.testing.assert_allclose(known["a"]["fn"].log_prob(y), oracle(y), rtol=2e-4)
    other = {"first_cut": dist.Normal(1.0, 1.0), "gaps": dist.Gamma(2.0, 2.0)}
    drawn = sites_of(lambda: link(mu, None, "a", **other))
    assert type(drawn["a.first_cut"]["fn"]) is dist.Normal
    assert drawn["a.gaps"]["value"].shape == (2,)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda x: layers.beta_link(x, precision="high"),
            TypeError,
            "`precision` must be a",
        ),
        (
            lambda x: layers.beta_link(x, precision=-1.0),
            ValueError,
            "`precision` must be pos",
        ),
        (
            lambda x: layers.beta_link(x, precision=dist.Normal()),
            ValueError,
            "`precision` mu",
        ),
        (
            lambda x: layers.beta_link(x, precision=dist.Gamma),
            TypeError,
            "distribution object",
        ),
        (lambda x: layers.zip_link(x, gate=1.5), ValueError, "`gate` must be .* below 1"),
        (lambda x: layers.zip_link(x, gate=dist.Exponential()), ValueError, "from 0 to 1"),
        (
            lambda x: layers.negative_binomial_link(x, rate=1.0, concentration=2.0),
            ValueError,
            "give only one",
        ),
        (
            lambda x: layers.gaussian_link(x, sigma_kwargs={"rat": 1.0}),
            ValueError,
            "`sigma_kwargs` has 'rat'",
        ),
        (
            lambda x: layers.gaussian_link(x, sigma_kwargs={"rate": jnp.ones(3)}),
            ValueError,
            "prior of a single number",
        ),
        (
            lambda x: layers.ordinal_link(x, None, 4, gaps=1.0),
            ValueError,
            "`gaps` must be 2",
        ),
        (
            lambda x: layers.gaussian_link(jnp.zeros((5, 5)), scale=jnp.ones(5)),
            ValueError,
            "could be one for each row or for each output",
        ),
        (
            lambda x: layers.gaussian_link(x, jnp.zeros((5, 2))),
            ValueError,
            "has 2 outputs, and the predictions have one",
        ),
    ],
)
def test_parameters_that_are_refused(call, error, match):
    with pytest.raises(error, match=match), seed(rng_seed=0):
        call(jnp.zeros((5, 1)))


W = np.arange(1.0, N + 1)


@pytest.mark.parametrize("handler", [lambda: scale(scale=W), lambda: mask(mask=W > 2)])
@pytest.mark.parametrize(
    "statement",
    [
        lambda: layers.gaussian_link(jnp.zeros(N), jnp.zeros(N)),
        lambda: layers.AdaptiveLayer()("slope", jnp.ones((N, 2))),
        lambda: layers.DenseReparameterization(2, 1)(jnp.ones((N, 2))),
        lambda: layers.DenseDVI(2, 1)(jnp.ones((N, 2))),
    ],
    ids=["link", "adaptive", "dense", "divergence"],
)
def test_rows_cannot_weigh_parameters(statement, handler):
    def model():
        with handler():
            statement()

    with pytest.raises(ValueError, match=r"of shape \(6,\) reaches the site .*`weights=`"):
        seed(model, 0)()


def test_what_weighs_a_link_rightly_goes_on_working():
    """One number for all; one for each cell of a plate; rows where there is no parameter."""
    y = jnp.zeros(N)

    def scaled(w, **more):
        with scale(scale=w), mask(mask=True):
            return layers.gaussian_link(jnp.zeros(N), y, **more)

    sites = sites_of(lambda: scaled(2.0))
    assert sites["obs.sigma"]["scale"] == 2.0 and sites["obs"]["scale"] == 2.0
    assert sites_of(lambda: scaled(W, scale=1.0))["obs"]["scale"].shape == (N,)

    def grouped():
        with numpyro.plate("groups", 3), scale(scale=jnp.arange(1.0, 4.0)):
            layers.gaussian_link(jnp.zeros((3, N, 1)), y)

    assert sites_of(grouped)["obs.sigma"]["scale"].shape == (3,)
    with pytest.raises(ValueError, match=r"observations of shape \(6,\)"):
        scaled(W[:, None], scale=1.0)
