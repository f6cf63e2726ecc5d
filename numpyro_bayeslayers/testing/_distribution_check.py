"""Collect the laws of distributions and run them.

A law is a function of a `DistributionTrial`, named ``law_*``, that raises `AssertionError`. To
add one, write it in one of the two files of laws; it then applies to every public distribution.
"""

from collections.abc import Callable, Mapping

import numpyro.distributions as dist
from jaxtyping import ArrayLike

from . import _distribution_laws, _distribution_numbers
from ._distribution_trial import DistributionTrial
from ._report import LawReport, laws_in, run_laws

DISTRIBUTION_LAWS: dict[str, Callable[[DistributionTrial], None]] = {
    **laws_in(vars(_distribution_laws)),
    **laws_in(vars(_distribution_numbers)),
}


def check_distribution(
    make: Callable[..., dist.Distribution],
    params: Mapping[str, ArrayLike] | None = None,
    *,
    except_for: Mapping[str, str] | None = None,
) -> LawReport:
    """Test a distribution against every law of distributions.

    Args:
        make: The class, or any function that builds the distribution from `params`.
        params: The parameters that the laws may vary, by name: numbers or arrays, preferably
            with a batch axis. The distribution should have finite fourth moments; otherwise the
            law "moments" may raise a false alarm.
        except_for: Laws that the distribution does not satisfy: a reason for each by name.

    Returns:
        The report, which prints as a list of the laws.

    Raises:
        AssertionError: If a law is violated; the message is the report.
        ValueError: If `except_for` names a law that does not exist.

    Example:
        >>> import numpyro.distributions as dist
        >>> report = check_distribution(dist.Exponential, {"rate": 2.0})
        >>> report.broken
        {}
    """
    trial = DistributionTrial(make, dict(params or {}))
    name = getattr(make, "__name__", type(make).__name__)
    return run_laws(DISTRIBUTION_LAWS, trial, name, except_for)
