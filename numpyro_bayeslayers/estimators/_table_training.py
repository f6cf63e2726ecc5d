"""Training of table estimators: members, the scale of the prior, and the noise factor."""

import dataclasses
import math
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..infer import EarlyStopping, Modes, fit
from ..infer.fitting._described import check_kept
from ._table_network import Draws, Network, model_of, outputs_of, scores_of_factors
from ._table_rows import padded, padded_size

# The candidate noise factors.
FACTORS = np.exp(np.linspace(-1.5, 2.0, 71)).astype(np.float32)
# The prior standard deviation of the factor's logarithm with several held-out shares: held-out
# classes that are all correct say nothing against a temperature of zero.
_SPREAD = 0.5
# The smallest number of held-out rows on which anything is chosen.
LEAST_HELD = 8
# The approximate number of posterior draws in predictions.
NUM_DRAWS = 200


class Rows(NamedTuple):
    """Standardized rows.

    Args:
        x: Inputs.
        y: Outcomes.
        weights: Weights.
    """

    x: Float[np.ndarray, "n d"]
    y: np.ndarray
    weights: Float[np.ndarray, " n"]

    def of(self, network: Network) -> "Rows":
        """Rows in the form that the likelihood expects: fractional counts are split in two.

        ``2.3`` becomes a 2 with weight 0.7 and a 3 with weight 0.3.
        """
        low = np.floor(self.y)
        share = self.y - low
        is_between = share > 0
        if not network.is_of_counts or not is_between.any():
            return self
        again = lambda a, b: np.concatenate([a, b[is_between]])
        weights = again(self.weights * (1 - share), self.weights * share)
        return Rows(again(self.x, self.x), again(low, low + 1), weights)

    def padded(self) -> "Rows":
        """The same rows padded with rows of weight zero."""
        size = padded_size(len(self.y))
        weights = np.zeros(size, np.float32)
        weights[: len(self.y)] = self.weights
        return Rows(padded(self.x, size), padded(self.y, size), weights)

    def counting(self, which: np.ndarray) -> "Rows":
        """The same rows, with weight zero for all but some."""
        return self._replace(weights=np.where(which, self.weights, 0).astype(np.float32))


class Plan(NamedTuple):
    """How members are trained.

    Args:
        method: A method of `fit`.
        num_steps: Number of steps; None for chains.
        batch_size: Rows per step; None for all.
        prior_scales: The candidate scales of the prior.
        share: The fraction of rows held out.
        num_shares: How many such shares are held out in turn.
        early_stopping: Whether members stop by the score of held-out rows.
        seed: An integer.
        progress_bar: Whether to show progress.
    """

    method: Any
    num_steps: int | None
    batch_size: int | None
    prior_scales: tuple[float, ...]
    share: float
    num_shares: int
    early_stopping: bool
    seed: int
    progress_bar: bool


class Trained(NamedTuple):
    """The result of training.

    Args:
        draws: Draws of the parameters.
        losses: The loss of each member at each step; None for chains.
        score: The mean log density of held-out rows; None if none were held out.
    """

    draws: Draws
    losses: Any
    score: float | None


def steps_for(count: int, batch: int) -> int:
    """The number of steps of a fit: 2,000, or twenty passes if these are more."""
    return max(2000, 20 * -(-count // batch))


def held_out(count: int, plan: Plan) -> list[np.ndarray]:
    """The rows that each share holds out, drawn with the seed; no share if it were too small."""
    number = round(plan.share * count)
    if plan.num_steps is None or number < LEAST_HELD:
        return []
    members = getattr(plan.method, "num_members", 1)
    most = 1 if plan.early_stopping else min(plan.num_shares, members, count // number)
    order = np.random.default_rng(plan.seed).permutation(count)
    shares = [order[i * number : (i + 1) * number] for i in range(max(most, 1))]
    return [np.isin(np.arange(count), share) for share in shares]


def train(network: Network, rows: Rows, offset: Any, plan: Plan) -> Trained:
    """Choose the scale of the prior and the factor on held-out rows, then fit all rows."""
    shares = held_out(len(rows.y), plan)
    scales = plan.prior_scales
    if not shares:
        middle = scales[len(scales) // 2]
        return _fitted(network, rows, Draws({}, middle, offset, 1.0), plan)
    held = [Rows(rows.x[own], rows.y[own], rows.weights[own]) for own in shares]
    seen = [rows.counting(~own) for own in shares]
    method = _searched(plan.method, len(shares))
    plans = [plan._replace(method=method, seed=plan.seed + i) for i in range(len(shares))]
    spread = _SPREAD if plan.num_shares > 1 else math.inf
    found = []
    for scale in scales:
        draws = Draws({}, scale, offset, 1.0)
        parts = zip(seen, plans, held, strict=True)
        trained = [_fitted(network, s, draws, how, h) for s, how, h in parts]
        found.append(_calibrated(network, trained, held, spread))
    best = max(
        found, key=lambda trained: -math.inf if trained.score is None else trained.score
    )
    is_chain = type(method) is not type(plan.method)
    if plan.early_stopping and not is_chain:
        return best
    draws = best.draws._replace(sites={})
    if is_chain:
        draws = draws._replace(factor=1.0)
    fitted = (seen[0], held[0]) if plan.early_stopping else (rows, None)
    final = _fitted(network, fitted[0], draws, plan, fitted[1])
    return final._replace(score=best.score)


def _searched(method: Any, num_shares: int) -> Any:
    """The method that chooses the scale: modes without chains, and fewer members per share."""
    if isinstance(method, Modes) and type(method) is not Modes:
        names = (f.name for f in dataclasses.fields(Modes) if f.init)
        method = Modes(**{name: getattr(method, name) for name in names})
    if num_shares == 1:
        return method
    return dataclasses.replace(method, num_members=method.num_members // num_shares)


def _fitted(
    network: Network, rows: Rows, draws: Draws, plan: Plan, held: Rows | None = None
) -> Trained:
    """Fit members to rows, starting from the prior or from draws."""
    rows = rows.of(network).padded()
    options: dict[str, Any] = {"init": _starts(draws, plan)}
    if held is not None and plan.early_stopping:
        options["validation"] = _arguments(held.of(network), draws)
        patience = max(plan.num_steps or 1, 5) // 5
        options["early_stopping"] = EarlyStopping(patience, on="validation")
    if plan.num_steps is not None:
        size = plan.batch_size
        options["num_steps"] = plan.num_steps
        options["batch_size"] = None if size is None or size >= len(rows.y) else size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = fit(
            model_of(network),
            method=plan.method,
            seed=plan.seed,
            progress_bar=plan.progress_bar,
            **options,
            **_arguments(rows, draws),
        )
        values = found.draws(num_samples=_draws_of(plan.method), all=True)
    sites = {name: _flat(x) for name, x in values.items()}
    losses = None if found.losses is None else np.asarray(found.losses)
    return Trained(draws._replace(sites=sites), losses, None)


def _draws_of(method: Any) -> int:
    num_members = getattr(method, "num_members", None)
    is_point = type(method) is Modes or num_members is None
    return 1 if is_point else math.ceil(NUM_DRAWS / num_members)


def _flat(x: Any) -> np.ndarray:
    flat = np.asarray(x).reshape(-1, *np.shape(x)[2:])
    step = max(1, len(flat) // NUM_DRAWS)
    return flat[::step]


def _arguments(rows: Rows, draws: Draws) -> dict[str, Any]:
    count = len(rows.y)
    offset = np.asarray(draws.offset, np.float32)
    return {
        "y": rows.y,
        "x": rows.x,
        "weights": rows.weights,
        "prior_scale": np.full(count, draws.prior_scale, np.float32),
        "offset": np.broadcast_to(offset, (count, *offset.shape)),
    }


def _calibrated(
    network: Network, trained: list[Trained], held: list[Rows], spread: float
) -> Trained:
    """Choose the factor with the highest density of held-out rows times its prior.

    Args:
        network: The network.
        trained: The members of each share, which have not seen its rows.
        held: The rows of each share.
        spread: The prior standard deviation of the factor's logarithm about zero.

    Returns:
        The members of the first share, with the factor and the mean log density.
    """
    prior = -0.5 * np.square(np.log(FACTORS) / spread)
    total, count = np.zeros(len(FACTORS)), 0.0
    for found, own in zip(trained, held, strict=True):
        draws, own = on_device(found.draws), own.of(network).padded()
        outputs = outputs_of(network, draws, jnp.asarray(own.x))
        arrays = outputs, jnp.asarray(own.y), jnp.asarray(own.weights)
        scores = scores_of_factors(network, draws, *arrays, jnp.asarray(FACTORS))
        weight = float(own.weights.sum())
        total, count = total + weight * np.asarray(scores, float), count + weight
    total = np.where(np.isfinite(total), total, -np.inf)
    best = int((total + prior).argmax())
    first = trained[0]
    calibrated = first.draws._replace(factor=float(FACTORS[best]))
    return first._replace(draws=calibrated, score=float(total[best] / count))


def on_device(draws: Draws, kind: Any = np.float32) -> Draws:
    """Numbers as arrays, so that they are not part of compiled programs."""
    return jax.tree.map(lambda x: jnp.asarray(x, kind), draws)


def go_on(network: Network, rows: Rows, draws: Draws, plan: Plan) -> Trained:
    """Continue training on other rows, with a fifth of the steps and a tenth of the step size."""
    if plan.num_steps is None:
        raise ValueError(
            "`partial_fit` cannot continue Markov chains. Use `method='modes'` or 'ensemble', "
            "or fit all rows again."
        )
    method = plan.method
    check_kept(method)
    optim = method.optim / 10 if isinstance(method.optim, float) else method.optim
    method = dataclasses.replace(method, optim=optim)
    plan = plan._replace(method=method, num_steps=-(-plan.num_steps // 5))
    return _fitted(network, rows, draws, plan)


def _starts(draws: Draws, plan: Plan) -> Any:
    """Initial values of members: one draw of each, if there are draws."""
    if not draws.sites:
        return None
    count = getattr(plan.method, "num_members", 1)
    size = len(next(iter(draws.sites.values())))
    some = np.arange(count) * size // count
    one = lambda x: x[some] if count > 1 else x[0]
    return {name: one(np.asarray(x)) for name, x in draws.sites.items()}
