"""Scores and diagnostics of predictions, as pure functions of arrays.

For all scores, smaller is better. A score is returned as a mean over rows with its standard
error (`Score`), or for each row with ``average=False``. Arguments are the observations first,
then the predictions; draws are along the first axis and include the observation noise.

A new metric needs a function in the file of its kind, one export line here, and a test against
an independent computation.
"""

from ._classes import (
    BrierDecomposition as BrierDecomposition,
    Reliability as Reliability,
    brier_decomposition as brier_decomposition,
    brier_score as brier_score,
    expected_calibration_error as expected_calibration_error,
    maximum_calibration_error as maximum_calibration_error,
    reliability as reliability,
)
from ._compare import (
    BootstrapComparison as BootstrapComparison,
    Comparison as Comparison,
    diebold_mariano as diebold_mariano,
    paired_bootstrap as paired_bootstrap,
)
from ._crps import (
    crps_draws as crps_draws,
    crps_mixture_normal as crps_mixture_normal,
    crps_normal as crps_normal,
    crps_student_t as crps_student_t,
)
from ._crps_counts import crps_negative_binomial as crps_negative_binomial
from ._density import log_score as log_score, log_score_draws as log_score_draws
from ._interval import (
    interval_coverage as interval_coverage,
    interval_score as interval_score,
)
from ._joint import (
    dyadic_joint_log_score as dyadic_joint_log_score,
    energy_score as energy_score,
    variogram_score as variogram_score,
)
from ._pit import (
    Coverage as Coverage,
    coverage_by_level as coverage_by_level,
    expected_quantile_calibration_error as expected_quantile_calibration_error,
    maximum_quantile_calibration_error as maximum_quantile_calibration_error,
    pit as pit,
)
from ._point import (
    mean_absolute_error as mean_absolute_error,
    root_mean_squared_error as root_mean_squared_error,
)
from ._quantile import (
    pinball_loss as pinball_loss,
    weighted_interval_score as weighted_interval_score,
)
from ._rank import (
    RankBand as RankBand,
    rank_band as rank_band,
    rank_p_value as rank_p_value,
)
from ._ranking import (
    area_under_risk_coverage as area_under_risk_coverage,
    misclassification_auroc as misclassification_auroc,
    out_of_distribution_auroc as out_of_distribution_auroc,
)
from ._recalibrate import (
    QuantileRecalibration as QuantileRecalibration,
    Recalibration as Recalibration,
    TemperatureRecalibration as TemperatureRecalibration,
    recalibrate as recalibrate,
)
from ._rows import Score as Score
from ._uncertainty import (
    Uncertainty as Uncertainty,
    entropy as entropy,
    entropy_split as entropy_split,
    mutual_information as mutual_information,
    variance_split as variance_split,
)

__all__ = [
    "BootstrapComparison",
    "BrierDecomposition",
    "Comparison",
    "Coverage",
    "QuantileRecalibration",
    "RankBand",
    "Recalibration",
    "Reliability",
    "Score",
    "TemperatureRecalibration",
    "Uncertainty",
    "area_under_risk_coverage",
    "brier_decomposition",
    "brier_score",
    "coverage_by_level",
    "crps_draws",
    "crps_mixture_normal",
    "crps_negative_binomial",
    "crps_normal",
    "crps_student_t",
    "diebold_mariano",
    "dyadic_joint_log_score",
    "energy_score",
    "entropy",
    "entropy_split",
    "expected_calibration_error",
    "expected_quantile_calibration_error",
    "interval_coverage",
    "interval_score",
    "log_score",
    "log_score_draws",
    "maximum_calibration_error",
    "maximum_quantile_calibration_error",
    "mean_absolute_error",
    "misclassification_auroc",
    "mutual_information",
    "out_of_distribution_auroc",
    "paired_bootstrap",
    "pinball_loss",
    "pit",
    "rank_band",
    "rank_p_value",
    "recalibrate",
    "reliability",
    "root_mean_squared_error",
    "variance_split",
    "variogram_score",
    "weighted_interval_score",
]
