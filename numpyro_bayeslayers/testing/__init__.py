"""Conformance tests for layers and distributions, including those of plugin packages.

`check_layer` and `check_distribution` test a layer or a distribution against every law and
report which laws fail and why:

    from numpyro_bayeslayers.testing import check_distribution, check_layer

    def test_my_layer():
        check_layer(MyLayer(3, 2, name="mine"), jnp.ones((5, 3)))

    def test_my_distribution():
        check_distribution(MyDistribution, {"scale": jnp.array([0.5, 2.0])})

`LAYER_LAWS` and `DISTRIBUTION_LAWS` contain the laws by name, to run them one at a time; they
are functions of a `Trial` and of a `DistributionTrial`.
"""

from ._distribution_check import DISTRIBUTION_LAWS, check_distribution
from ._distribution_trial import DistributionTrial
from ._layer_laws import LAYER_LAWS, Trial, check_layer
from ._report import LawReport
from ._sbc import Calibration, sbc

__all__ = [
    "DISTRIBUTION_LAWS",
    "LAYER_LAWS",
    "Calibration",
    "DistributionTrial",
    "LawReport",
    "Trial",
    "check_distribution",
    "check_layer",
    "sbc",
]
