"""Chains of `fit` against the reference draws of posteriordb, models written with layers.

A mean agrees within a tenth of the reference's standard deviation, and a standard deviation
within a tenth of itself, two standard errors of both sides granted on top. With the 1,000
effective draws that are asked for at least, the bound of a mean is 5 standard errors, and that
of a normal's standard deviation 6: some entry of all 51 fails by chance in one of 10,000 seeds.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.diagnostics import effective_sample_size
from numpyro.distributions import constraints

from numpyro_bayeslayers.infer import MCMC, fit
from numpyro_bayeslayers.layers import (
    FixedPriorLayer,
    HSGPFeatures,
    InterceptLayer,
    RandomEffectsLayer,
    RBFKernel,
    gaussian_link,
    lognormal_link,
    poisson_link,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("as_users_run")]

FOLDER = Path(__file__).parents[2] / "data" / "posteriordb"
#: The reference's effective draws, and those that are asked for.
REFERENCE, EFFECTIVE, WITHIN = 9000, 1000, 0.1
#: Columns that are not scaled make narrow ridges of a line's coefficients.
DENSE = {"dense_mass": True}
FLAT = dist.ImproperUniform(constraints.real, (), ())
POSITIVE = dist.ImproperUniform(constraints.positive, (), ())


class Case(NamedTuple):
    """A model, the arguments of `fit` that its data make, its parameters of a fit's draws."""

    model: Callable[..., Any]
    rows: Callable[[dict[str, Any]], dict[str, Any]]
    parameters: Callable[[dict[str, Any], Any], list[Any]]
    options: dict[str, Any] = DENSE


def linear(link, coef_dist, scale):
    """A line in the columns of `x`, of which the first may be the constant."""

    def model(x, y=None):
        return link(FixedPriorLayer(coef_dist)("b", x), y, scale=scale)

    return model


def of_line(draws, _=None, unit=1.0):
    return [*np.moveaxis(draws["b.beta"][..., 0] / unit, -1, 0), draws["obs.sigma"]]


def columns(target, *names):
    """The rows of a line: a constant, and columns by name or by what makes them."""

    def rows(data):
        take = lambda name: name(data) if callable(name) else data[name]
        made = [np.ones(len(data[target])), *map(take, names)]
        return {"x": np.stack(made, 1), "y": data[target]}

    return rows


def product(*names):
    return lambda data: np.prod([data[name] for name in names], axis=0)


def log(*names, over=()):
    return lambda d: np.log(product(*names)(d) / (product(*over)(d) if over else 1.0))


def aged(k):
    return lambda data: (data["age_discrete"] == k).astype(float)


def schools(group, sigma, y=None):
    """Each school is a group of one row whose noise is known."""
    mean = InterceptLayer(dist.Normal(0.0, 5.0))("mu")
    school = RandomEffectsLayer(scale_dist=dist.HalfCauchy(5.0))("school", group, 8)
    return gaussian_link(mean + school, y, scale=sigma)


def of_schools(draws, _):
    mean, theta = draws["mu.beta"][..., 0, 0], draws["school.theta"][..., 0]
    return [*np.moveaxis(mean[..., None] + theta, -1, 0), mean, draws["school.scale"]]


def counts(x, y=None):
    """The amplitude is half-normal: its square is the kernel's variance."""
    amplitude = dist.HalfNormal(2.0)
    square = dist.transforms.PowerTransform(2.0)
    kernel = RBFKernel(
        variance=dist.TransformedDistribution(amplitude, square),
        lengthscale=dist.Gamma(25.0, 4.0),
    )
    return poisson_link(HSGPFeatures.init(1, 40, 40.0, kernel=kernel, name="f")(x), y)


def of_counts(draws, found):
    """The process is the logarithm of what is expected at each draw."""
    scale, variance = draws["f.kernel.lengthscale"], draws["f.kernel.variance"]
    rows = {"x": np.arange(-10.0, 11.0, 2.0)[:, None]}
    expected = found.expected(**rows, num_samples=scale.size).samples
    f = np.log(np.asarray(expected, float)).reshape(*scale.shape, -1)
    return [scale, np.sqrt(variance), *np.moveaxis(f, -1, 0)]


FLAT_LINE = linear(gaussian_link, FLAT, POSITIVE)
FLAT_LOG_LINE = linear(lognormal_link, FLAT, POSITIVE)

CASES = {
    "earnings-logearn_interaction": Case(
        FLAT_LOG_LINE,
        columns("earn", "height", "male", product("height", "male")),
        of_line,
    ),
    "eight_schools-eight_schools_noncentered": Case(
        schools,
        lambda data: {"group": np.arange(8), **data},
        of_schools,
        {"target_accept_prob": 0.95},
    ),
    "gp_pois_regr-gp_pois_regr": Case(
        counts,
        lambda data: {"x": data["x"][:, None], "y": data["k"]},
        of_counts,
        {"target_accept_prob": 0.99},
    ),
    "kidiq-kidscore_interaction": Case(
        linear(gaussian_link, FLAT, dist.HalfCauchy(2.5)),
        columns("kid_score", "mom_hs", "mom_iq", product("mom_hs", "mom_iq")),
        of_line,
    ),
    "mesquite-logmesquite_logvash": Case(
        FLAT_LOG_LINE,
        columns(
            "weight",
            log("diam1", "diam2", "canopy_height"),
            log("diam1", "diam2"),
            log("diam1", over=("diam2",)),
            log("total_height"),
            "group",
        ),
        of_line,
    ),
    "nes1980-nes": Case(
        FLAT_LINE,
        columns(
            "partyid7",
            "real_ideo",
            "race_adj",
            *map(aged, (2, 3, 4)),
            "educ1",
            "gender",
            "income",
        ),
        of_line,
    ),
    # In hundreds: of coefficients of the order of 0.001 the warm-up learns no scale.
    "sblri-blr": Case(
        linear(gaussian_link, dist.Normal(0.0, 1000.0), dist.HalfNormal(10.0)),
        lambda data: {"x": data["X"] / 100, "y": data["y"]},
        lambda draws, _: of_line(draws, unit=100.0),
    ),
}


def compared(name):
    """By parameter: effective draws, and the differences of the two moments from the reference's.

    That of the mean is in reference standard deviations, that of the other is relative.
    """
    case, file = CASES[name], json.loads((FOLDER / f"{name}.json").read_text())
    data = {key: np.asarray(value, float) for key, value in file["data"].items()}
    method = MCMC(kernel_options=case.options)
    found = fit(case.model, **case.rows(data), method=method, seed=1, progress_bar=False)
    draws = {n: np.asarray(x, float) for n, x in found.draws().items()}
    each, reference = case.parameters(draws, found), file["reference"]
    return {
        key: (float(effective_sample_size(x)), (x.mean() - mean) / sd, x.std() / sd - 1)
        for x, (key, (mean, sd)) in zip(each, reference.items(), strict=True)
    }


@pytest.mark.parametrize("name", CASES)
def test_moments_are_those_of_the_reference(name):
    for key, (size, mean, spread) in compared(name).items():
        assert size > EFFECTIVE, key
        error = np.sqrt(1 / size + 1 / REFERENCE)
        assert abs(mean) < WITHIN + 2 * error, key
        assert abs(spread) < WITHIN + 2 * error / np.sqrt(2), key


def test_each_file_is_a_case():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(CASES)
