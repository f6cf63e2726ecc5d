"""Fitting, in three levels: pure functions, objects like `SVI`, and one-call functions.

Each level calls only the one below. `ensemble_init`, `ensemble_loss`, `ensemble_step` and
`ensemble_predict` are pure functions that compose with any transformation of JAX; `EnsembleMAP`
compiles them once and mirrors `numpyro.infer.SVI` (`init`, `update`, `run`), as `EnsembleSVI`
and `EnsembleVI` do for any NumPyro model; `ensemble_map` and `ensemble_vi` fit in one call. To
add a fitting method, add a file with its pure step (run by `TrainingLoop`), its object and its
one-call function, and an export line here for each.
"""

from ._effects import layer_effects
from ._log_joint import log_joint_of
from ._mathematics import Description, describe
from ._mclmc import MCLMC, AdjustedMCLMC, MCLMCState
from ._reparam import autoreparam, autoreshape
from .ensembles._functions import (
    EnsembleResult,
    EnsembleState,
    ensemble_init,
    ensemble_loss,
    ensemble_step,
)
from .ensembles._map import EnsembleMAP
from .ensembles._mcmc import EnsembleMCMC, EnsembleMCMCResult
from .ensembles._one_shots import ensemble_map, ensemble_vi
from .ensembles._prediction import ensemble_predict
from .ensembles._svi import EnsembleSVI
from .ensembles._vi import EnsembleVI
from .fitting._diagnostics import Diagnostics
from .fitting._fit import fit
from .fitting._fitted import Fit
from .fitting._laplace import Laplace
from .fitting._load import load
from .fitting._methods import MCMC, VI, Ensemble, Modes
from .fitting._predictions import Predictions, Reach
from .fitting._prior import prior
from .fitting._sampled_ensemble import SampledEnsemble
from .fitting._sgmcmc import SGMCMC
from .fitting._stack import Stacked, stack
from .fitting._stein import Stein
from .fitting._swag import SWAG
from .training._callbacks import Progress
from .training._checkpoint import Checkpoint
from .training._early_stopping import EarlyStopping
from .training._repulsion import repulsive
from .training._validation import Validation

__all__ = [
    "MCLMC",
    "MCMC",
    "SGMCMC",
    "SWAG",
    "VI",
    "AdjustedMCLMC",
    "Checkpoint",
    "Description",
    "Diagnostics",
    "EarlyStopping",
    "Ensemble",
    "EnsembleMAP",
    "EnsembleMCMC",
    "EnsembleMCMCResult",
    "EnsembleResult",
    "EnsembleSVI",
    "EnsembleState",
    "EnsembleVI",
    "Fit",
    "Laplace",
    "MCLMCState",
    "Modes",
    "Predictions",
    "Progress",
    "Reach",
    "SampledEnsemble",
    "Stacked",
    "Stein",
    "Validation",
    "autoreparam",
    "autoreshape",
    "describe",
    "ensemble_init",
    "ensemble_loss",
    "ensemble_map",
    "ensemble_predict",
    "ensemble_step",
    "ensemble_vi",
    "fit",
    "layer_effects",
    "load",
    "log_joint_of",
    "prior",
    "repulsive",
    "stack",
]
