"""Likelihoods (links): from a prediction to observations, row by row."""

from ._categorical import (
    beta_link as beta_link,
    categorical_link as categorical_link,
    logit_link as logit_link,
    ordinal_link as ordinal_link,
)
from ._count import (
    negative_binomial_link as negative_binomial_link,
    poisson_link as poisson_link,
    zip_link as zip_link,
)
from ._location_scale import (
    gaussian_link as gaussian_link,
    heteroscedastic_link as heteroscedastic_link,
    lognormal_link as lognormal_link,
    student_t_link as student_t_link,
)

__all__ = [
    "beta_link",
    "categorical_link",
    "gaussian_link",
    "heteroscedastic_link",
    "logit_link",
    "lognormal_link",
    "negative_binomial_link",
    "ordinal_link",
    "poisson_link",
    "student_t_link",
    "zip_link",
]
