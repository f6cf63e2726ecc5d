"""`fit_formula` builds and fits the model of a formula in one call."""

from collections.abc import Mapping
from typing import Any

from ..infer import MCMC, Fit, fit
from ._model import formula


def fit_formula(
    text: str,
    data: Any,
    family: Any = "gaussian",
    method: Any = MCMC(),
    *,
    priors: Mapping[str, Any] | None = None,
    parameters: Any = None,
    weights: Any = None,
    namespace: Mapping[str, Any] | None = None,
    **options: Any,
) -> Fit:
    """Fit the model of a formula: `infer.fit` applied to `formula`.

    The result predicts from new tables, ``found.predict(data=table)``. They need the columns of
    the formula except the outcome, and are encoded like the first table. A new level of a group
    is an error unless ``new_levels`` is ``"draw"`` or ``"mean"``.

    Args:
        text: As in `formula`.
        data: As in `formula`.
        family: As in `formula`.
        method: As in `infer.fit`: `MCMC`, `VI`, `Ensemble`, `Stein`, or a name.
        priors: As in `formula`.
        parameters: As in `formula`.
        weights: As in `formula`.
        namespace: As in `formula`.
        options: Further options of `infer.fit`: ``seed``, ``num_steps``, ``batch_size``, ...

    Raises:
        ImportError: As `formula`.
        TypeError: As `formula` and `infer.fit`.
        ValueError: As `formula` and `infer.fit`.

    Example:
        >>> import numpy as np
        >>> from numpyro_bayeslayers.infer import VI
        >>> x = np.linspace(0.0, 1.0, 20)
        >>> table = {"x": x, "y": 2 * x + 0.1 * np.cos(99 * x)}
        >>> found = fit_formula("y ~ 1 + x", table, method=VI(), num_steps=10,
        ...     progress_bar=False)
        >>> found.predict(data={"x": np.zeros(3)}, num_samples=50).samples.shape
        (50, 3)
    """
    more: dict[str, Any] = {"parameters": parameters, "weights": weights}
    model = formula(text, data, family, priors, namespace=namespace, **more)
    return fit(model, method=method, **options)
