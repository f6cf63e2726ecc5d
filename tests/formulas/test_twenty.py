"""Formulas of every kind: their log joint densities are what SciPy says of the same model.

For each site the log density at a draw of the prior, written by hand: prior scales, columns,
predictions and likelihoods. There is no chance in it: figures are equal to rounding.
"""

import jax
import numpy as np
import pytest
from numpyro.handlers import seed, trace
from scipy import stats

from numpyro_bayeslayers.basis import bspline_basis, make_knots
from numpyro_bayeslayers.formulas import formula

from .tables import N, table

pytest.importorskip("formulae")

D = table()
X, Z, Y = D.x.to_numpy(), D.z.to_numpy(), D.y.to_numpy()
G = np.stack([D.g == "b", D.g == "c"], 1).astype(float)
YES = (D.h == "yes").to_numpy(float)
S = Y.std()
LOG_COUNT = np.log(D["count"].mean())
SHOP = D["shop"].to_numpy() - 101


def normal(v, loc, scale):
    return stats.norm(loc, scale).logpdf(v).sum()


def slopes(v, columns, s, size=None):
    """What terms add at centered columns, and the log densities of their coefficients."""
    eta, found = 0.0, {}
    for name, x in columns.items():
        x = x.reshape(N, -1)
        beta = v[f"{name}.beta"]
        found[f"{name}.beta"] = normal(beta, 0, (2.5 * s / x.std(0))[:, None])
        eta = eta + (x - x.mean(0)) @ beta[:, 0]
    return eta, found


def level(v, loc, scale):
    alpha = v["Intercept_centered.beta"]
    return alpha[0, 0], {"Intercept_centered.beta": normal(alpha, loc, 2.5 * scale)}


def gaussian(v, columns, extra=0.0, y=Y, name="y"):
    start, first = level(v, y.mean(), y.std())
    eta, found = slopes(v, columns, y.std())
    sigma = v[f"{name}.sigma"]
    noise = stats.expon(scale=y.std()).logpdf(sigma)
    seen = normal(y, start + eta + extra, sigma)
    return {**first, **found, f"{name}.sigma": noise, name: seen}


def counts(v, columns, extra=0.0, loc=LOG_COUNT):
    start, first = level(v, loc, 1.0)
    eta, found = slopes(v, columns, 1.0)
    rate = np.exp(start + eta + extra)
    return {**first, **found, "count": stats.poisson(rate).logpmf(D["count"]).sum()}


def levels_of_groups(v, name, scale):
    s = v[f"{name}.scale"]
    return {
        f"{name}.scale": stats.halfnorm(scale=scale).logpdf(s).sum(),
        f"{name}.theta_base": normal(v[f"{name}.theta_base"], 0, 1),
    }


def random_levels(v, codes, name):
    theta = v[f"{name}.scale"] * v[f"{name}.theta_base"]
    extra = theta[codes, 0]
    return gaussian(v, {"x": X}, extra) | levels_of_groups(v, name, S)


def random_slopes(v):
    """Correlated effects: the draws mixed by the Cholesky factor, and its LKJ(1) density."""
    name = "1+x|shop"
    root, scale, base = (v[f"{name}.{k}"] for k in ("cholesky", "scale", "theta_base"))
    theta = np.einsum("de,ce->cd", root[0], base[..., 0]) * scale[:, 0]
    extra = theta[SHOP, 0] + theta[SHOP, 1] * X
    scales = np.array([S, S / X.std()])[:, None]
    # Of two dimensions: uniform correlation, 1/2 on (-1, 1), and its root's Jacobian.
    lkj = np.log(0.5) + 0.0 * root[0, 1, 1]
    found = levels_of_groups(v, name, scales) | {f"{name}.cholesky": lkj}
    return gaussian(v, {"x": X}, extra) | found


def apart(v):
    name = "1+x|shop"
    scales = np.array([S, S / X.std()])[:, None]
    theta = (v[f"{name}.scale"] * v[f"{name}.theta_base"])[..., 0]
    extra = theta[SHOP, 0] + theta[SHOP, 1] * X
    return gaussian(v, {"x": X}, extra) | levels_of_groups(v, name, scales)


def no_intercept(v):
    beta, sigma = v["g.beta"], v["y.sigma"]
    full = np.stack([D.g == k for k in "abc"], 1).astype(float)
    size = np.hypot(Y.mean(), S)
    noise = stats.expon(scale=S).logpdf(sigma)
    prior = normal(beta, 0, (2.5 * size / full.std(0))[:, None])
    return {"g.beta": prior, "y.sigma": noise, "y": normal(Y, full @ beta[:, 0], sigma)}


def smooth(v):
    knots = make_knots(X, 2, 3)
    theta, base = v["s(x, k=6).theta"][:, 0], v["s(x, k=6).theta_base"]
    extra = np.asarray(bspline_basis(X, knots, 3)) @ theta
    assert base.shape == (4, 1)  # six functions, of which a line has two
    found = {
        "s(x, k=6).scale": stats.halfnorm(scale=S).logpdf(v["s(x, k=6).scale"]).sum(),
        "s(x, k=6).trend": normal(v["s(x, k=6).trend"], 0, 2.5 * S),
        "s(x, k=6).theta_base": normal(base, 0, 1),
    }
    return gaussian(v, {}, extra) | found


def smooth_of_groups(v):
    """A spline for each group, of which each row takes its own."""
    name = "s(x, by=g, k=6)"
    basis = np.asarray(bspline_basis(X, make_knots(X, 2, 3), 3))
    extra = (basis @ v[f"{name}.theta"])[np.arange(N), np.arange(N) % 3]
    assert v[f"{name}.scale"].shape == (3,)
    found = {
        f"{name}.scale": stats.halfnorm(scale=S).logpdf(v[f"{name}.scale"]).sum(),
        f"{name}.trend": normal(v[f"{name}.trend"], 0, 2.5 * S),
        f"{name}.theta_base": normal(v[f"{name}.theta_base"], 0, 1),
    }
    return gaussian(v, {}, extra) | found


def surface(v):
    """Products of two bases; of sixteen functions four are planes, a constant among them."""
    name = "te(x, z, k=4)"
    one, two = (np.asarray(bspline_basis(c, make_knots(c, 0, 3), 3)) for c in (X, Z))
    theta = v[f"{name}.theta"].reshape(4, 4)
    extra = np.einsum("nj,nk,jk->n", one, two, theta)
    assert v[f"{name}.theta_base"].shape == (12, 1)
    found = {
        f"{name}.scale": stats.halfnorm(scale=S).logpdf(v[f"{name}.scale"]).sum(),
        f"{name}.trend": normal(v[f"{name}.trend"], 0, 2.5 * S),
        f"{name}.theta_base": normal(v[f"{name}.theta_base"], 0, 1),
    }
    return gaussian(v, {}, extra) | found


def monotone(v):
    """Two steps, and the density of their shares."""
    name = "mo(grade, concentration=2)"
    scale, base, zeta = (v[f"{name}.{k}"] for k in ("scale", "beta_base", "zeta"))
    heights = np.concatenate([[0.0], 2 * np.cumsum(zeta[0])])
    extra = (scale[0] * base[0, 0]) * heights[np.arange(N) % 3]
    found = {
        f"{name}.scale": stats.halfnorm(scale=2.5 * S / 2).logpdf(scale).sum(),
        f"{name}.beta_base": normal(base, 0, 1),
        f"{name}.zeta": stats.dirichlet([2.0, 2.0]).logpdf(zeta[0]),
    }
    return gaussian(v, {}, extra) | found


def noise_by_rows(v):
    """The logarithm of sigma has a line of its own, and levels of shops."""
    start, first = level(v, Y.mean(), S)
    alpha, beta = v["sigma.Intercept_centered.beta"], v["sigma.z.beta"]
    shops = v["sigma.1|shop.scale"] * v["sigma.1|shop.theta_base"]
    log_sigma = alpha[0, 0] + (Z - Z.mean()) * beta[0, 0] + shops[SHOP, 0]
    own = {
        "sigma.Intercept_centered.beta": normal(alpha, np.log(S), 2.5),
        "sigma.z.beta": normal(beta, 0, 2.5 / Z.std()),
    }
    own |= levels_of_groups(v, "sigma.1|shop", 1.0)
    eta, found = slopes(v, {"x": X}, S)
    return first | found | own | {"y": normal(Y, start + eta, np.exp(log_sigma))}


def zeros_by_rows(v):
    """The log odds of a zero beside the counts are an intercept and an offset."""
    found = counts(v, {"x": X})
    gate = v["gate.Intercept_centered.beta"]
    odds_of = 1 / (1 + np.exp(-(gate[0, 0] + np.log(D.days.to_numpy()))))
    eta = v["Intercept_centered.beta"][0, 0] + (X - X.mean()) * v["x.beta"][0, 0]
    chance = (1 - odds_of) * stats.poisson(np.exp(eta)).pmf(D["count"])
    chance = chance + odds_of * (D["count"] == 0)
    own = normal(gate, np.log(0.1 / 0.9), 2.5)
    return found | {
        "gate.Intercept_centered.beta": own,
        "count": np.log(chance).sum(),
    }


def process(v):
    """Eigenfunctions on [-1.5, 1.5], and the spectral density of the Matern 5/2 kernel."""
    name, L = "gp(x, k=4)", 1.5
    at = (X - (X.min() + X.max()) / 2) / ((X.max() - X.min()) / 2)
    omega = np.arange(1, 5) * np.pi / (2 * L)
    phi = np.sin(omega * (at[:, None] + L)) / np.sqrt(L)
    variance, ell = (v[f"{name}.kernel.{k}"] for k in ("variance", "lengthscale"))
    rate = np.sqrt(5) / ell
    density = variance * 16 / 3 * rate**5 / (rate**2 + omega**2) ** 3
    extra = phi @ (np.sqrt(density) * v[f"{name}.alpha"])
    found = {
        f"{name}.kernel.variance": stats.lognorm(1.0, scale=S**2).logpdf(variance),
        f"{name}.kernel.lengthscale": stats.lognorm(1.0, scale=0.5).logpdf(ell),
        f"{name}.alpha": normal(v[f"{name}.alpha"], 0, 1),
    }
    return gaussian(v, {}, extra) | found


def sparse(v):
    name = "hs(x, z)"
    columns = np.stack([X, Z], 1)
    unit = (columns - columns.mean(0)) / columns.std(0)
    tau, lam, c2, base = (v[f"{name}.{k}"] for k in ("tau", "lambda", "c2", "beta_base"))
    shrunk = np.sqrt(c2 * lam**2 / (c2 + tau**2 * lam**2))
    extra = unit @ (tau * shrunk * base)[:, 0]
    slab = 2.5 * S
    found = {
        f"{name}.tau": stats.halfcauchy(scale=S).logpdf(tau).sum(),
        f"{name}.lambda": stats.halfcauchy().logpdf(lam).sum(),
        f"{name}.c2": stats.invgamma(2.0, scale=2 * slab**2).logpdf(c2).sum(),
        f"{name}.beta_base": normal(base, 0, 1),
    }
    return gaussian(v, {}, extra) | found


def odds(v):
    n = D.trials.to_numpy()
    p = D["count"].sum() / n.sum()
    start, first = level(v, np.log(p / (1 - p)), 1.0)
    eta, found = slopes(v, {"x": X}, 1.0)
    chance = 1 / (1 + np.exp(-(start + eta)))
    return {**first, **found, "count": stats.binom(n, chance).logpmf(D["count"]).sum()}


def chances(v):
    """`h` is coded in the order of its words: yes is 1."""
    start, first = level(v, np.log(YES.mean() / (1 - YES.mean())), 1.0)
    eta, found = slopes(v, {"x": X}, 1.0)
    p = 1 / (1 + np.exp(-(start + eta)))
    return {**first, **found, "h": stats.bernoulli(p).logpmf(YES).sum()}


def shares(v):
    m = D.share.mean()
    start, first = level(v, np.log(m / (1 - m)), 1.0)
    eta, found = slopes(v, {"x": X}, 1.0)
    mean, phi = 1 / (1 + np.exp(-(start + eta))), v["share.precision"]
    # 1 / sqrt(phi) is Exponential(1).
    prior = -(phi**-0.5) - np.log(2 * phi**1.5)
    seen = stats.beta(mean * phi, (1 - mean) * phi).logpdf(D.share).sum()
    return {**first, **found, "share.precision": prior, "share": seen}


def weights_and_bounds(v):
    """A row at its bound counts the probability beyond, and each row its weight."""
    start, first = level(v, Y.mean(), S)
    eta, found = slopes(v, {"x": X}, S)
    sigma = v["y.sigma"]
    law = stats.norm(start + eta, sigma)
    seen = np.where(D.end == Y, law.logsf(Y), law.logpdf(Y))
    noise = stats.expon(scale=S).logpdf(sigma)
    return {**first, **found, "y.sigma": noise, "y": (Z * seen).sum()}


CENSORED = "weighted(censored(y, upper=end), z) ~ 1 + x"
PRODUCT = {"x": X, "h": YES, "x:h": X * YES}
EARN = np.log(D.positive.to_numpy())

CASES = {
    "y ~ 1": ("gaussian", lambda v: gaussian(v, {})),
    "y ~ x": ("gaussian", lambda v: gaussian(v, {"x": X})),
    "y ~ 1 + x + g": ("gaussian", lambda v: gaussian(v, {"x": X, "g": G})),
    "y ~ 0 + g": ("gaussian", no_intercept),
    "y ~ x * h": ("gaussian", lambda v: gaussian(v, PRODUCT)),
    "y ~ np.log(z) + I(x**2)": (
        "gaussian",
        lambda v: gaussian(v, {"np.log(z)": np.log(Z), "I(x ** 2)": X**2}),
    ),
    "y ~ scale(x) + center(z)": (
        "gaussian",
        lambda v: gaussian(v, {"scale(x)": (X - X.mean()) / X.std(), "center(z)": Z}),
    ),
    "y ~ C(grade) + x": (
        "gaussian",
        lambda v: gaussian(
            v,
            {"C(grade)": np.stack([D.grade == k for k in (1, 2)], 1).astype(float), "x": X},
        ),
    ),
    "np.log(positive) ~ x": (
        "gaussian",
        lambda v: gaussian(v, {"x": X}, y=EARN, name="np.log(positive)"),
    ),
    "y ~ x + (1 | shop)": ("gaussian", lambda v: random_levels(v, SHOP, "1|shop")),
    "y ~ x + (1 | g:h)": (
        "gaussian",
        lambda v: random_levels(v, 2 * (np.arange(N) % 3) + YES.astype(int), "1|g:h"),
    ),
    "y ~ x + (1 + x | shop)": ("gaussian", random_slopes),
    "y ~ x + (1 + x || shop)": ("gaussian", apart),
    "y ~ s(x, k=6)": ("gaussian", smooth),
    "y ~ s(x, by=g, k=6)": ("gaussian", smooth_of_groups),
    "y ~ te(x, z, k=4)": ("gaussian", surface),
    "y ~ mo(grade, concentration=2)": ("gaussian", monotone),
    "y ~ gp(x, k=4)": ("gaussian", process),
    "y ~ hs(x, z)": ("gaussian", sparse),
    "count ~ x + offset(np.log(days))": (
        "poisson",
        lambda v: counts(
            v, {"x": X}, np.log(D.days.to_numpy()), LOG_COUNT - np.log(D.days.mean())
        ),
    ),
    "p(count, trials) ~ x": ("binomial", odds),
    "h ~ x": ("bernoulli", chances),
    "share ~ x": ("beta", shares),
    CENSORED: ("gaussian", weights_and_bounds),
}

# Formulas of parameters, and weights beside the formula: the same joint density by hand.
BESIDE = {
    "noise by rows": ("y ~ x", "gaussian", {"sigma": "~ z + (1 | shop)"}, noise_by_rows),
    "zeros by rows": (
        "count ~ x",
        "zero_inflated_poisson",
        {"gate": "gate ~ 1 + offset(np.log(days))"},
        zeros_by_rows,
    ),
}


def _drawn(model, key):
    """Values of all sites, and the log densities of those that are drawn or observed."""
    sites = trace(seed(model, key)).get_trace()
    density = lambda s: (
        s["fn"].log_prob(s["value"]) * (1.0 if s["scale"] is None else s["scale"])
    )
    found = {n: density(s).sum() for n, s in sites.items() if s["type"] == "sample"}
    return {n: s["value"] for n, s in sites.items()}, found


def agree(make, by_hand):
    """Each site has the log density that SciPy gives the same model at the same values."""
    # Double precision: the oracle's.
    with jax.enable_x64(True):
        values, found = jax.jit(lambda key: _drawn(make(), key))(jax.random.key(3))
    wanted = by_hand({name: np.asarray(value) for name, value in values.items()})
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(
            float(found[name]), float(value), rtol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("text", CASES)
def test_log_joint_is_that_of_the_model_by_hand(text):
    family, by_hand = CASES[text]
    agree(lambda: formula(text, D, family), by_hand)


@pytest.mark.parametrize("what", BESIDE)
def test_parameters_that_are_predicted(what):
    text, family, parameters, by_hand = BESIDE[what]
    agree(lambda: formula(text, D, family, parameters=parameters), by_hand)


def test_weights_beside_the_formula_are_those_of_the_outcome():
    text = "censored(y, upper=end) ~ 1 + x"
    agree(lambda: formula(text, D, weights="z"), weights_and_bounds)
