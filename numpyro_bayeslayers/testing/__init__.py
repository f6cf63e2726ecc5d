"""The laws that layers and distributions obey: ours, and those of plugin authors.

`check_layer` and `check_distribution` run one under every law and say which one failed and
why:

    from numpyro_bayeslayers.testing import check_distribution, check_layer

    def test_my_layer():
        check_layer(MyLayer(3, 2, name="mine"), jnp.ones((5, 3)))

    def test_my_distribution():
        check_distribution(MyDistribution, {"scale": jnp.array([0.5, 2.0])})

`LAYER_LAWS` and `DISTRIBUTION_LAWS` hold the laws by name, functions of a `Trial` and of a
`DistributionTrial`, to run them one by one.
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
