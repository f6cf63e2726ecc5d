"""The observations of a fit and the likelihood they are given to."""

from ..._typing import Model
from ..training._arguments import take_apart
from ..training._observed import Observations
from ..training._plates import on_all_rows
from ._data import Data, Sites, bind


def check_observations(model: Model, data: Data, sites: Sites) -> None:
    """All observations are in the support of their likelihood, before anything is compiled.

    Args:
        model: The model as the user wrote it.
        data: What it is to be fitted to. A plate that subsamples rows takes all of them.
        sites: Its sites; those that `y` does not reach are not looked at.

    Raises:
        ValueError: If one is not: with the rows, the values, the support and the mend.
    """
    bound = on_all_rows(bind(model, data), data.num_rows)
    Observations(bound, sites.observed).check_support(take_apart((), data.rows))
