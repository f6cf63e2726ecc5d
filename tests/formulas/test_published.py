"""Formulas on data whose fits are published. The data lie beside the repository."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from numpyro_bayeslayers.formulas import fit_formula
from numpyro_bayeslayers.infer import MCMC

pytest.importorskip("formulae")
DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="the data are not there"),
]

NES = "partyid7 ~ real_ideo + race_adj + C(age_discrete) + educ1 + gender + income"
MESQUITE = (
    "np.log(weight) ~ np.log(diam1 * diam2 * canopy_height) + np.log(diam1 * diam2) "
    "+ np.log(diam1 / diam2) + np.log(total_height) + group"
)
# By folder: the formula, and the places of the reference's coefficients after the intercept.
REFERENCES = {
    "kidiq-kidscore_interaction": "kid_score ~ mom_hs + mom_iq + mom_hs:mom_iq",
    "earnings-logearn_interaction": "np.log(earn) ~ height + male + height:male",
    "mesquite-logmesquite_logvash": MESQUITE,
    "nes1980-nes": NES,
}


def draws_of(text, table, family="gaussian"):
    method = MCMC(num_warmup=1000, num_samples=1000, num_chains=4)
    found = fit_formula(text, table, family, method, progress_bar=False)
    return {name: np.asarray(x) for name, x in found.draws().items()}


@pytest.mark.parametrize("folder", REFERENCES)
def test_posteriordb(folder):
    """Means are within 0.25 deviations of the reference, deviations within 15%.

    The reference has flat priors; ours move means by up to a fifth of a deviation, and 4000
    draws are off by less than a twentieth.
    """
    at = DATA / "posteriordb" / folder
    columns = json.loads((at / "data.json").read_text())
    table = pd.DataFrame({k: v for k, v in columns.items() if isinstance(v, list)})
    draws = draws_of(REFERENCES[folder], table)
    betas = [x for n, x in draws.items() if n.endswith(".beta") and "Intercept" not in n]
    found = np.concatenate([draws["Intercept"][..., None], *(b[..., 0] for b in betas)], -1)
    reference = pd.read_csv(at / "reference.csv", index_col=0)
    known = reference[reference.index.str.startswith("beta")]
    mean, std = found.mean((0, 1)), found.std((0, 1))
    np.testing.assert_allclose((mean - known["mean"]) / known["sd"], 0, atol=0.25)
    np.testing.assert_allclose(std / known["sd"], 1, atol=0.15)


def test_sleepstudy():
    """lme4's maximum: 251.4, 10.47, deviations 24.7 and 5.9, correlation 0.07, residual 25.6.

    Posterior means of coefficients are within half a standard error of it, and medians of
    deviations within 15%: the posterior is skewed to the right.
    """
    table = pd.read_csv(DATA / "sleepstudy.csv")
    draws = draws_of("Reaction ~ Days + (1 + Days | Subject)", table)
    assert abs(draws["Intercept"].mean() - 251.405) < 3.4
    assert abs(draws["Days.beta"].mean() - 10.467) < 0.8
    scale = np.median(draws["1+Days|Subject.scale"][..., 0], (0, 1))
    np.testing.assert_allclose(scale, [24.741, 5.922], rtol=0.15)
    np.testing.assert_allclose(np.median(draws["Reaction.sigma"]), 25.592, rtol=0.04)
    correlation = draws["1+Days|Subject.correlation"][..., 0, 0, 1]
    assert abs(np.median(correlation) - 0.066) < 0.15


def test_gasoline_yield():
    """The published maximum has a slope of 0.01097 with standard error 0.0004."""
    table = pd.read_csv(DATA / "gasoline_yield.csv")
    draws = draws_of("yield ~ C(batch) + temp", table, "beta")
    assert abs(draws["temp.beta"].mean() - 0.01097) < 0.0003
    assert 200 < np.median(draws["yield.precision"]) < 500
