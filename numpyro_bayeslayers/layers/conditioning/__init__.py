"""Conditioners and hypernetworks: maps of features that depend on a context."""

from ._concat import (
    BayesianConcatConditioner as BayesianConcatConditioner,
    ConcatConditioner as ConcatConditioner,
)
from ._conditioned_inr import ConditionedINR as ConditionedINR
from ._conditioner import AbstractConditioner as AbstractConditioner
from ._film import (
    AffineModulation as AffineModulation,
    BayesianAffineModulation as BayesianAffineModulation,
    FiLM as FiLM,
)
from ._hyper_fourier import (
    ConditionedRFFNet as ConditionedRFFNet,
    HyperFourierFeatures as HyperFourierFeatures,
)
from ._hyper_linear import (
    BayesianHyperLinear as BayesianHyperLinear,
    HyperLinear as HyperLinear,
)
from ._hyper_siren import HyperSIREN as HyperSIREN

__all__ = [
    "AbstractConditioner",
    "AffineModulation",
    "BayesianAffineModulation",
    "BayesianConcatConditioner",
    "BayesianHyperLinear",
    "ConcatConditioner",
    "ConditionedINR",
    "ConditionedRFFNet",
    "FiLM",
    "HyperFourierFeatures",
    "HyperLinear",
    "HyperSIREN",
]
