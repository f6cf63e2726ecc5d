"""Likelihoods by the names used for families in formulas."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array

from .. import _checks
from ..layers import heads


class Family(NamedTuple):
    """A likelihood.

    Args:
        link: The link function, called as ``link(prediction, y, name=...)``.
        scale: The scale of predictions: ``"identity"`` (the mean), ``"log"`` (the log of the
            mean), ``"log_y"`` (the mean of the log outcome), ``"logit"`` or ``"none"``.
        own: The link's arguments for its own parameters, by their names in `priors`.
        outcome: ``"numbers"``, ``"classes"`` or ``"columns"``.
        has_spread: Whether it has a parameter sigma on the outcome's scale.
    """

    link: Callable[..., Any]
    scale: str = "none"
    own: Mapping[str, str] = {}
    outcome: str = "numbers"
    has_spread: bool = False


def _own(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_SIGMA = {"sigma": "scale"}
_CUTS = _own("first_cut", "gaps")

#: Likelihoods by name.
FAMILIES: dict[str, Family] = {
    "gaussian": Family(heads.gaussian_link, "identity", _SIGMA, has_spread=True),
    "student_t": Family(
        heads.student_t_link, "identity", {**_SIGMA, "df": "df"}, has_spread=True
    ),
    "lognormal": Family(heads.lognormal_link, "log_y", _SIGMA, has_spread=True),
    "bernoulli": Family(heads.logit_link, "logit", outcome="classes"),
    "binomial": Family(heads.binomial_link, "logit"),
    "beta_binomial": Family(heads.beta_binomial_link, "logit", _own("precision")),
    "poisson": Family(heads.poisson_link, "log"),
    "negative_binomial": Family(heads.negative_binomial_link, "log", _own("concentration")),
    "zero_inflated_poisson": Family(heads.zip_link, "log", _own("gate")),
    "zero_inflated_negative_binomial": Family(
        heads.zinb_link, "log", _own("gate", "concentration")
    ),
    "hurdle_poisson": Family(heads.hurdle_poisson_link, "log", _own("gate")),
    "hurdle_negative_binomial": Family(
        heads.hurdle_negative_binomial_link, "log", _own("gate", "concentration")
    ),
    "gamma": Family(heads.gamma_link, "log", _own("concentration")),
    "inverse_gaussian": Family(heads.inverse_gaussian_link, "log", _own("shape")),
    "exponential": Family(heads.exponential_link, "log"),
    "weibull": Family(heads.weibull_link, "log", _own("concentration")),
    "beta": Family(heads.beta_link, "logit", _own("precision")),
    "zero_one_beta": Family(
        heads.zero_one_beta_link, "logit", _own("precision", "ends", "ones")
    ),
    "ordered_beta": Family(
        heads.ordered_beta_link, "logit", _own("precision", "first_cut", "gap")
    ),
    "categorical": Family(heads.categorical_link, outcome="classes"),
    "ordinal": Family(heads.ordinal_link, own=_CUTS, outcome="classes"),
    "multivariate_normal": Family(
        heads.multivariate_normal_link, "identity", _SIGMA, has_spread=True
    ),
    "von_mises": Family(heads.von_mises_link, own=_own("concentration")),
}

#: The names of these families in bambi and brms.
ALIASES = {
    "normal": "gaussian",
    "t": "student_t",
    "student": "student_t",
    "negativebinomial": "negative_binomial",
    "negbinomial": "negative_binomial",
    "wald": "inverse_gaussian",
    "inverse.gaussian": "inverse_gaussian",
    "zero_inflated_negativebinomial": "zero_inflated_negative_binomial",
    "zero_inflated_negbinomial": "zero_inflated_negative_binomial",
    "hurdle_negativebinomial": "hurdle_negative_binomial",
    "hurdle_negbinomial": "hurdle_negative_binomial",
    "zero_one_inflated_beta": "zero_one_beta",
    "cumulative": "ordinal",
    "mvnormal": "multivariate_normal",
    "vonmises": "von_mises",
}


def family_of(family: Any) -> Family:
    """The likelihood with a name, or with a link function.

    Raises:
        ValueError: If there is no likelihood of this name.
        TypeError: If it is neither a name nor a link.
    """
    if isinstance(family, str):
        name = ALIASES.get(family, family)
        return FAMILIES[_checks.one_of("family", name, [*FAMILIES, *ALIASES])]
    if not callable(family):
        raise TypeError(
            f"`family` must be a name such as 'gaussian', or a link, got {family!r}."
        )
    return Family(family)


class Moments(NamedTuple):
    """Location and scale of the predictions, estimated from the outcome alone.

    Args:
        loc: The location on the scale of predictions.
        scale: The standard deviation of the outcome on that scale; 1 for logarithms and log
            odds.
        size: The root mean square of the outcome on that scale, for models without an
            intercept.
    """

    loc: float
    scale: float
    size: float


def moments_of(
    scale: str, y: Any, offset: np.ndarray | None, trials: np.ndarray | None
) -> Moments:
    """Location and scale of the predictions, from the outcome.

    Args:
        scale: The family's `scale`.
        y: The outcome, NaN where it is missing.
        offset: A known term added to the predictions.
        trials: The number of trials in each row.
    """
    if scale == "none":
        return Moments(0.0, 1.0, 1.0)
    values = np.asarray(y, float).ravel()
    shift = np.zeros(1) if offset is None else np.asarray(offset, float)
    if scale in ("identity", "log_y"):
        with np.errstate(all="ignore"):
            values = np.log(values) if scale == "log_y" else values
            if shift.size == values.size:
                values = values - shift
            values = values[np.isfinite(values)]
        spread = float(values.std()) if values.size else 0.0
        spread = spread if spread > 0 else 1.0
        loc = float(values.mean()) if values.size else 0.0
        return Moments(loc, spread, math.hypot(loc, spread))
    mean = float(np.nanmean(values))
    if scale == "log":
        mean = max(mean, 1e-3) / float(np.mean(np.exp(shift)))
        loc = math.log(mean)
    else:
        if trials is not None:
            mean = float(np.nansum(values) / np.sum(np.broadcast_to(trials, values.shape)))
        mean = min(max(mean, 1e-3), 1 - 1e-3)
        loc = math.log(mean / (1 - mean)) - float(shift.mean())
    return Moments(loc, 1.0, math.hypot(loc, 1.0))


def own_priors(
    family: Family,
    moments: Moments,
    priors: Mapping[str, Any],
    predicted: Collection[str] = (),
) -> dict[str, Any]:
    """The link's arguments: given priors, and for sigma a default prior on the outcome's scale.

    Args:
        family: The likelihood.
        moments: The moments of the outcome.
        priors: Priors by parameter name.
        predicted: Parameters with their own formula, which are left out.
    """
    found: dict[str, Any] = {}
    if family.has_spread and "sigma" not in predicted:
        found["scale"] = dist.Exponential(1 / moments.scale)
    for name, argument in family.own.items():
        if name in priors and name not in predicted:
            found[argument] = priors[name]
    return found


class PredictedParameter(NamedTuple):
    """A parameter of a likelihood with its own formula.

    Args:
        argument: The corresponding argument of the link.
        moments: Location and scale of its predictions.
        inverse: The function from predictions to the parameter.
    """

    argument: str
    moments: Moments
    inverse: Callable[[Array], Array]


#: Parameters that are probabilities: their log odds are predicted. The values are typical ones.
_SHARES = {"gate": 0.1, "ends": 0.5, "ones": 0.5}
#: Positive parameters: their logarithms are predicted.
_POSITIVE = ("concentration", "df", "precision", "shape", "sigma")


def predicted_parameter(
    family: Family, name: str, moments: Moments, units: int
) -> PredictedParameter:
    """How a formula predicts the parameter `name` of a likelihood.

    Raises:
        ValueError: If the likelihood has no such parameter, or the outcome has several columns.
    """
    known = [own for own in family.own if own in _POSITIVE or own in _SHARES]
    if name not in known:
        what = ", ".join(repr(own) for own in known) or "none"
        raise ValueError(
            f"`parameters` has a formula for {name!r}, which is not a parameter of this "
            f"family: it has {what}."
        )
    if units > 1:
        raise ValueError(
            f"`parameters` has a formula for {name!r}, but each row has {units} outcomes. Such "
            "formulas need an outcome with one column."
        )
    if name in _SHARES:
        loc, inverse = math.log(_SHARES[name] / (1 - _SHARES[name])), _share
    else:
        loc, inverse = math.log(moments.scale) if name == "sigma" else 0.0, _positive
    own = Moments(loc, 1.0, math.hypot(loc, 1.0))
    return PredictedParameter(family.own[name], own, inverse)


def _positive(prediction: Array) -> Array:
    limits = jnp.finfo(prediction.dtype)
    return jnp.clip(jnp.exp(prediction), limits.tiny, limits.max)


def _share(prediction: Array) -> Array:
    limits = jnp.finfo(prediction.dtype)
    return jnp.clip(jax.nn.sigmoid(prediction), limits.tiny, 1 - limits.eps)
