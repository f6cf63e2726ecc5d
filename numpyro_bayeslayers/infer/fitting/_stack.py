"""Stacking: weights of fits, or of members of a fit, from held-out predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ... import _checks
from ..rows._inputs import Seed
from ._data import label_names
from ._fitted import Fit
from ._laws import name_of
from ._method import Posterior
from ._predicting import Asked, How, observed_site, predicted
from ._predictions import Labels, Predictions

# The tolerance of the mean log density, in nats, and the maximal number of iterations.
_SHORT, _ROUNDS = 1e-7, 50_000

_KIND = "a Fit of several members, or several Fits: a sequence, or a dictionary by name"
_ALONE = (
    "`results` must be several fits, or one with several members, got one fit with one. Take "
    "Ensemble() or Modes(), or give fits of several models."
)
_ROWS = "`results` must have densities of the same rows, got {shapes} for `y`."
_NOWHERE = (
    "`y` has no density under any of `results` in row {row}, so that no weights are better than "
    "others. Leave the row out, or add a fit that allows for it."
)
_DIFFER = "`results` must observe the same labels, got {one} and {other}."


class Stacked:
    r"""A weighted mixture of fits, or of the members of one, returned by `stack`.

    $$p(y \mid x) = \sum_k w_k\, p_k(y \mid x)$$

    Args:
        fits: The components.
        weights: Their weights, which sum to 1.
        names: Their names.
        score: The mean log density of the held-out rows, in nats per row.

    Example:
        >>> import numpy as np
        >>> Stacked((), np.array([0.7, 0.3]), ("line", "curve"), -1.2).weights.tolist()
        [0.7, 0.3]
    """

    def __init__(
        self,
        fits: tuple["_Part", ...],
        weights: Float[np.ndarray, " k"],
        names: tuple[Any, ...],
        score: float,
    ) -> None:
        self._parts = fits
        self.weights = weights
        self.names = names
        self.score = score

    def __repr__(self) -> str:
        each = ", ".join(
            f"{name}: {w:.3g}" for name, w in zip(self.names, self.weights, strict=True)
        )
        return f"Stacked({each})"

    def log_density(
        self, *, y: Any, num_samples: int = 1000, seed: Seed = 1, **data: Any
    ) -> Float[Array, " n"]:
        """The log predictive density of observations in rows, in nats; see `Fit.log_density`.

        Args:
            y: The observations, one per row.
            num_samples: Draws from each fit, at least 1.
            seed: A random key or an integer.
            data: The other arguments of the models.

        Raises:
            TypeError: As `Fit.predict`.
            ValueError: As `Fit.predict`.
        """
        each = _densities(self._parts, y, num_samples, seed, data)
        return jnp.asarray(_mixed(each, self.weights))

    def predict(
        self, *, num_samples: int = 1000, seed: Seed = 1, **data: Any
    ) -> Predictions:
        """Draw new observations, from each fit in proportion to its weight.

        Args:
            num_samples: Total number of draws, at least 1; `probabilities` of labels are
                averaged with the exact weights.
            seed: A random key or an integer.
            data: The arguments of the models.

        Raises:
            TypeError: As `Fit.predict`.
            ValueError: As `Fit.predict`, or if the fits have different labels.
        """
        num_samples = _checks.size("num_samples", num_samples)
        counts = _shares(self.weights, num_samples)
        draws, chances, classes = [], jnp.zeros(()), None
        for part, count, weight in zip(self._parts, counts, self.weights, strict=True):
            if not count:
                continue
            found, labels = part.predict(int(count), seed, data)
            draws.append(found)
            if labels is not None:
                if classes not in (None, labels.classes):
                    text = _DIFFER.format(one=list(classes), other=list(labels.classes))
                    raise ValueError(text)
                classes, chances = labels.classes, chances + weight * labels.probabilities
        total = sum(w for w, count in zip(self.weights, counts, strict=True) if count)
        of = None if classes is None else Labels(chances / total, classes)
        return Predictions.of(jnp.concatenate(draws)[:, None], of)


class _Part:
    """A fit, or one member of it."""

    def __init__(self, fit: Fit, member: int | None = None) -> None:
        self.fit, self.member = fit, member

    def predict(
        self, count: int, seed: Seed, data: dict[str, Any]
    ) -> tuple[Array, Labels | None]:
        """Draws, (count, n, ...), and labels."""
        fit = self.fit
        if self.member is None:
            found = fit.predict(num_samples=count, seed=seed, **data)
            return _some(found.samples, count), found._labels
        problem = fit._problem
        name = observed_site(problem.sites, None)
        is_label = name in problem.sites.labels
        asked = Asked.beside(name, "probabilities" if is_label else None)
        how = How(count * fit._posterior.finite.count, seed, None, None, None)
        found = predicted(*fit._found, asked._replace(statistics={}), how, data)
        own = {n: by_member(x, fit._posterior)[:, self.member] for n, x in found.items()}
        draws = _some(own[name], count)
        if not is_label:
            return draws, None
        chances = own[name_of(name, "probabilities")].mean(0)
        classes = label_names(problem.data.schema, chances.shape[-1])
        return draws, Labels(chances, classes)


def by_member(each: Array, posterior: Posterior) -> Array:
    """The draws, (draws, members, ...); chains are concatenated."""
    if posterior.samples is None:
        return each
    rest = each.shape[2:]
    return each.reshape(posterior.finite.count, -1, *rest).swapaxes(0, 1)


def _some(draws: Array, count: int) -> Array:
    """A number of evenly spaced draws, starting over from the first if there are too few."""
    have = len(draws)
    if have >= count:
        at = np.linspace(0, have - 1, count).round().astype(int)
    else:
        at = np.arange(count) % have
    return draws[at]


def stack(
    results: Fit | Sequence[Fit] | Mapping[str, Fit],
    *,
    y: Any,
    num_samples: int = 1000,
    seed: Seed = 1,
    **data: Any,
) -> Stacked:
    r"""Stack fits, or the members of one, with weights from their held-out predictions.

    $$\hat w = \arg\max_{w \in \Delta} \frac{1}{n} \sum_{i=1}^n
    \log \sum_k w_k\, p_k(y_i \mid x_i)$$

    Stacking is better than Bayesian model averaging if none of the models is true. The problem
    is concave; the objective at the returned weights is within 1e-7 nats per row of the
    maximum. Use held-out rows: with the rows of the fit, the weights favor models that overfit.

    Args:
        results: Fits of several models by any methods, in a sequence or by name; or one fit
            with several members (`Ensemble`, `Modes`, `SWAG`, `Laplace`, `SampledEnsemble`).
        y: The observations of rows that were not used in any of the fits.
        num_samples: Draws from each fit, at least 1.
        seed: A random key or an integer.
        data: The other arguments of the models, of these rows.

    Returns:
        The weighted mixture, with `weights`, `predict` and `log_density`.

    Raises:
        TypeError: If `results` are not fits; as `Fit.predict`.
        ValueError: If there is only one fit with one member, the fits observe different rows,
            or a row has no density under any of them; as `Fit.predict`.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro_bayeslayers.infer import Modes, fit
        >>> from numpyro_bayeslayers.layers import AdaptiveLayer, gaussian_link
        >>> def model(x, y=None):
        ...     return gaussian_link(AdaptiveLayer()("slope", x), y)
        >>> x = jnp.linspace(-1, 1, 20)
        >>> how = dict(num_steps=5, progress_bar=False)
        >>> found = fit(model, y=2 * x, x=x, method=Modes(num_members=3), **how)
        >>> together = stack(found, y=2 * x[:5] + 0.1, x=x[:5])
        >>> together.weights.shape, round(float(together.weights.sum()), 6)
        ((3,), 1.0)

    References:
        Yao, Vehtari, Simpson, Gelman (2018), "Using stacking to average Bayesian predictive
        distributions", Bayesian Analysis 13, equation 5.
    """
    parts, names = _parts_of(results)
    each = _densities(parts, y, num_samples, seed, data)
    best = each.max(0)
    if not np.isfinite(best).all():
        raise ValueError(_NOWHERE.format(row=int(np.argmin(np.isfinite(best)))))
    weights = stacking_weights(each)
    return Stacked(parts, weights, names, float(_mixed(each, weights).mean()))


def _parts_of(results: Any) -> tuple[tuple[_Part, ...], tuple[Any, ...]]:
    if isinstance(results, Fit):
        finite = results._posterior.finite
        if finite.count < 2:
            raise ValueError(_ALONE)
        results._posterior.finite.warn_left_out(stacklevel=4)
        names = tuple(int(e) for e in np.flatnonzero(finite.which))
        return tuple(_Part(results, e) for e in range(finite.count)), names
    if isinstance(results, Mapping):
        names, fits = tuple(results), list(results.values())
    elif isinstance(results, Sequence) and not isinstance(results, str):
        fits, names = list(results), tuple(range(len(results)))
    else:
        fits, names = [results], (0,)
    for found in fits:
        _checks.instance("results", found, Fit, _KIND)
    if len(fits) < 2:
        raise ValueError(_ALONE)
    return tuple(_Part(found) for found in fits), names


def _densities(
    parts: tuple[_Part, ...], y: Any, num_samples: int, seed: Seed, data: dict[str, Any]
) -> Float[np.ndarray, "k n"]:
    """The log predictive densities of rows under each component."""
    num_samples = _checks.size("num_samples", num_samples)
    if parts[0].member is not None:
        return _of_members(parts[0].fit, y, num_samples, seed, data)
    how: dict[str, Any] = {"num_samples": num_samples, "seed": seed}
    found = [np.asarray(p.fit.log_density(y=y, **how, **data), float) for p in parts]
    shapes = [x.shape for x in found]
    if len(set(shapes)) > 1:
        raise ValueError(_ROWS.format(shapes=shapes))
    return np.stack(found)


def _of_members(
    fit: Fit, y: Any, num_samples: int, seed: Seed, data: dict[str, Any]
) -> Float[np.ndarray, "k n"]:
    asked = Asked.instead(observed_site(fit._problem.sites, None), "density")
    how = How(num_samples * fit._posterior.finite.count, seed, None, None, None)
    (each,) = predicted(*fit._found, asked, how, data, y).values()
    logs = np.asarray(by_member(each, fit._posterior), float)
    logs = logs.reshape(*logs.shape[:3], -1).sum(-1)
    top = logs.max(0)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return safe + np.log(np.exp(logs - safe).mean(0))


def stacking_weights(log_densities: Float[np.ndarray, "k n"]) -> Float[np.ndarray, " k"]:
    r"""The weights that maximize the mean log density.

    The EM iteration $w_k \leftarrow w_k \frac{1}{n} \sum_i p_{ki} / \sum_j w_j p_{ji}$ never
    decreases the objective; the largest factor minus one bounds the remaining gain.
    """
    ratios = np.exp(log_densities - log_densities.max(0))
    weights = np.full(len(ratios), 1 / len(ratios))
    for _ in range(_ROUNDS):
        factors = (ratios / (weights @ ratios)).mean(1)
        if factors.max() - 1 < _SHORT:
            break
        weights = weights * factors
    return weights / weights.sum()


def _mixed(
    log_densities: Float[np.ndarray, "k n"], weights: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " n"]:
    top = log_densities.max(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = top + np.log(weights @ np.exp(log_densities - top))
    return np.where(np.isneginf(top), -np.inf, found)


def _shares(weights: Float[np.ndarray, " k"], total: int) -> np.ndarray:
    """Integers in these proportions that sum to `total`, by largest remainders."""
    exact = weights * total
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts
