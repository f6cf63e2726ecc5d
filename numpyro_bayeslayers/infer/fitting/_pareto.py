r"""Pareto k-hat: the quality of a guide, from the tail of its importance weights.

A draw $\theta$ from the guide $q$ has the importance weight $p(y, \theta) / q(\theta)$. The
largest weights follow a generalized Pareto distribution, whose shape $\hat k$ measures how
strongly a few of them dominate: with $\hat k$ above 0.7, a guide is too far from the posterior
for importance weighting to correct it.
"""

import numpy as np
from jaxtyping import Float

MOST = 0.7


def pareto_k(log_weights: Float[np.ndarray, "e s"]) -> Float[np.ndarray, " e"]:
    """The Pareto shape of the largest weights of each member.

    The tail consists of the min(S / 5, 3 √S) largest of S weights. NaN if all weights are equal
    (point guides have no density), or one is NaN.

    Args:
        log_weights: The log weights, up to a constant, at least 25 per member.

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry (2024), "Pareto smoothed importance sampling",
        JMLR 25; Yao, Vehtari, Simpson, Gelman (2018), "Yes, but did it work?: evaluating
        variational inference", ICML, algorithm 1.
    """
    in_order = np.sort(log_weights.astype(float), axis=-1)
    count = in_order.shape[-1]
    size = int(np.ceil(min(count / 5, 3 * np.sqrt(count))))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        weights = np.exp(in_order - in_order[:, -1:])
        excess = weights[:, -size:] - weights[:, -size - 1, None]
        k = generalized_pareto_shape(excess)
    is_flat = in_order[:, -1] == in_order[:, 0]
    return np.where(is_flat | np.isnan(in_order).any(-1), np.nan, k)


def generalized_pareto_shape(
    excess: Float[np.ndarray, "e n"],
) -> Float[np.ndarray, " e"]:
    """The shape of a generalized Pareto distribution, estimated from sorted positive numbers.

    The estimate uses the mean of θ = -k / σ under its profile likelihood, on a grid. It is then
    regularized by ten pseudo-observations of shape 0.5, as for small numbers of weights.

    References:
        Zhang and Stephens (2009), "A new and efficient estimation method for the generalized
        Pareto distribution", Technometrics 51, where k has the other sign; Vehtari et al.
        (2024) for the ten.
    """
    count = excess.shape[-1]
    num_points = 30 + int(np.sqrt(count))
    quartile = excess[:, int(count / 4 + 0.5) - 1, None]
    steps = 1 - np.sqrt(num_points / (np.arange(1, num_points + 1) - 0.5))
    theta = 1 / excess[:, -1:] + steps / (3 * quartile)
    shape = np.log1p(-theta[..., None] * excess[:, None]).mean(-1)
    profile = count * (np.log(-theta / shape) - shape - 1)
    weight = np.exp(profile - profile.max(-1, keepdims=True))
    best = (theta * weight).sum(-1, keepdims=True) / weight.sum(-1, keepdims=True)
    found = np.log1p(-best * excess).mean(-1)
    return (count * found + 10 * 0.5) / (count + 10)


def k_limit(num_draws: int) -> float:
    """The largest reliable shape for a number of weights (Vehtari et al. 2024)."""
    return min(1 - 1 / np.log10(num_draws), MOST)
