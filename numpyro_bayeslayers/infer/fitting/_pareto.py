r"""How well a guide fits: the tail of the weights that would correct its draws.

A draw $\theta$ of the guide $q$ stands for the posterior with the weight
$p(y, \theta) / q(\theta)$. The largest weights follow a generalized Pareto law, whose shape
$\hat k$ says how much a few of them outweigh all others: guides of $\hat k$ above 0.7 are too
far from the posterior for their weights to mend it.
"""

import numpy as np
from jaxtyping import Float

MOST = 0.7


def pareto_k(log_weights: Float[np.ndarray, "e s"]) -> Float[np.ndarray, " e"]:
    """The shape of the largest weights of each member.

    Of S weights the tail are the min(S / 5, 3 √S) largest. NaN where all weights are equal
    (points have no density), or one is NaN.

    Args:
        log_weights: Their logarithms, up to a constant, 25 or more for each member.

    References:
        Vehtari, Simpson, Gelman, Yao and Gabry (2024), "Pareto smoothed importance sampling",
        JMLR 25; Yao, Vehtari, Simpson and Gelman (2018), "Yes, but did it work?: evaluating
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
    """The shape of the generalized Pareto law that sorted positive numbers come from.

    The mean of θ = -k / σ under its profile likelihood, on a grid; then, as for weights that
    are few, ten observations of shape 0.5 are added.

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
    """The shape up to which so many weights can be relied on (Vehtari et al. 2024)."""
    return min(1 - 1 / np.log10(num_draws), MOST)
