"""The methods of `fit`, by name."""

import inspect
from typing import Any

from ... import _checks
from ._laplace import Laplace
from ._methods import MCMC, VI, Ensemble, Modes
from ._sampled_ensemble import SampledEnsemble
from ._sgmcmc import SGMCMC
from ._stein import Stein
from ._swag import SWAG

METHODS = {
    "vi": VI,
    "mcmc": MCMC,
    "stein": Stein,
    "ensemble": Ensemble,
    "modes": Modes,
    "sampled_ensemble": SampledEnsemble,
    "sgmcmc": SGMCMC,
    "laplace": Laplace,
    "swag": SWAG,
}
Method = VI | MCMC | Stein | SWAG


def method_of(method: Any) -> Method:
    """The given method, or the default one of a given name."""
    if isinstance(method, str):
        _checks.one_of("method", method, METHODS)
        return METHODS[method]()
    if inspect.isclass(method) and method in METHODS.values():
        return method()
    what = (
        "VI(), MCMC(), Stein(), Ensemble(), Modes(), SampledEnsemble(), SGMCMC(), Laplace(), "
        "SWAG() or the name of one"
    )
    _checks.instance("method", method, tuple(METHODS.values()), what)
    return method
