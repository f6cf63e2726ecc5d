"""Likelihoods (links), which map the prediction of each row to its observation."""

from ._angle import von_mises_link as von_mises_link
from ._bounds import censored as censored, truncated as truncated
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
from ._ends import (
    ordered_beta_link as ordered_beta_link,
    zero_one_beta_link as zero_one_beta_link,
)
from ._joint import multivariate_normal_link as multivariate_normal_link
from ._location_scale import (
    gaussian_link as gaussian_link,
    heteroscedastic_link as heteroscedastic_link,
    lognormal_link as lognormal_link,
    student_t_link as student_t_link,
)
from ._positive import (
    exponential_link as exponential_link,
    gamma_link as gamma_link,
    inverse_gaussian_link as inverse_gaussian_link,
    weibull_link as weibull_link,
)
from ._trials import (
    beta_binomial_link as beta_binomial_link,
    binomial_link as binomial_link,
)
from ._zeros import (
    hurdle_negative_binomial_link as hurdle_negative_binomial_link,
    hurdle_poisson_link as hurdle_poisson_link,
    zinb_link as zinb_link,
)

__all__ = [
    "beta_binomial_link",
    "beta_link",
    "binomial_link",
    "categorical_link",
    "censored",
    "exponential_link",
    "gamma_link",
    "gaussian_link",
    "heteroscedastic_link",
    "hurdle_negative_binomial_link",
    "hurdle_poisson_link",
    "inverse_gaussian_link",
    "logit_link",
    "lognormal_link",
    "multivariate_normal_link",
    "negative_binomial_link",
    "ordered_beta_link",
    "ordinal_link",
    "poisson_link",
    "student_t_link",
    "truncated",
    "von_mises_link",
    "weibull_link",
    "zero_one_beta_link",
    "zinb_link",
    "zip_link",
]
