"""Recalibration of predictions on held-out rows."""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Num

from .. import _checks
from .._typing import Column, Seed
from ._pit import pit
from ._probabilities import as_probabilities, rows_of_classes
from ._quantile import as_quantiles
from ._rows import Levels, check_levels, finite_reals

# Search bounds for the logarithm of the temperature.
_LOG_MOST = float(np.log(100.0))
_NUM_HALVINGS = 50


class Recalibration(eqx.Module):
    """A map from predictions to recalibrated ones, as returned by `recalibrate`."""

    @abc.abstractmethod
    def __call__(self, prediction: Any) -> Array:
        """Recalibrate predictions of the kind that it was fitted to."""


class TemperatureRecalibration(Recalibration):
    """Class probabilities raised to the power of one over a temperature, and normalized.

    Args:
        temperature: Positive; above 1 it reduces confidence, below 1 it increases it.
    """

    temperature: Float[Array, ""]

    def __call__(self, prediction: Num[ArrayLike, "n k"] | Column) -> Float[Array, "n k"]:
        """Recalibrated class probabilities; the most probable class does not change."""
        probs = as_probabilities(prediction, name="prediction")
        return jax.nn.softmax(jnp.log(probs) / self.temperature, axis=-1)


class QuantileRecalibration(Recalibration):
    """Predicted quantiles, or draws, at other levels.

    Args:
        places: Levels of the prediction, from 0 to 1.
        frequencies: Observed frequencies below them, from 0 to 1, equally spaced.
        levels: Levels of the quantiles that it was fitted to; None for draws.
    """

    places: Float[Array, " m"]
    frequencies: Float[Array, " m"]
    levels: Float[Array, " q"] | None

    def level(self, p: Num[ArrayLike, "..."] | Column) -> Float[Array, "..."]:
        """The level of the prediction below which observations lie with probability `p`."""
        return jnp.interp(jnp.asarray(p, float), self.frequencies, self.places)

    def __call__(
        self, prediction: Num[ArrayLike, "s *rows"] | Column
    ) -> Float[Array, "s *rows"]:
        """Recalibrated quantiles at the same levels, or as many draws in the same order.

        Quantiles beyond the outermost given ones are set to the outermost.
        """
        found = finite_reals("prediction", prediction)
        if np.ndim(found) < 2:
            raise ValueError(
                "`prediction` must have an axis of draws or levels before that of rows, got "
                f"shape {np.shape(found)}."
            )
        values = jnp.asarray(found, float)
        levels = self.levels
        if levels is None:
            return _at_levels(
                values, self.level((jnp.arange(len(values)) + 0.5) / len(values))
            )
        if len(values) != len(levels):
            raise ValueError(
                f"`prediction` must have a row for each of the {len(levels)} `levels`, got "
                f"{len(values)}."
            )
        flat = jnp.sort(values, axis=0).reshape(len(values), -1)
        at = self.level(levels)
        mended = jax.vmap(lambda q: jnp.interp(at, levels, q), 1, 1)(flat)
        return mended.reshape(values.shape)


def recalibrate(
    prediction: Num[ArrayLike, "..."] | Column,
    y: Num[ArrayLike, "..."] | Column,
    *,
    levels: Levels | None = None,
    method: Literal["isotonic", "temperature"] = "isotonic",
    seed: Seed | None = None,
) -> QuantileRecalibration | TemperatureRecalibration:
    r"""Fit a recalibration of predictions on held-out rows.

    ``"isotonic"`` estimates how often observations are below each level $p$ of the prediction,
    $R(p) = \frac{1}{N + 1} \sum_i 1[u_i \le p]$ with the `pit` $u$, and replaces the quantile
    at $p$ by that at $R^{-1}(p)$. ``"temperature"`` raises class probabilities to the power
    $1 / T$ with the maximum-likelihood $T$, and normalizes them.

    The rows must not be training rows, on which predictions look better than on new ones. A
    hundred rows determine the level 0.9 to 3%. The calibration is corrected on average over
    rows.

    Args:
        prediction: For ``"isotonic"``, draws of the prediction including noise, (s, *rows), or,
            with `levels`, its quantiles, (q, *rows). For ``"temperature"``, class probabilities
            (n, classes).
        y: Observations of these rows; for ``"temperature"`` classes, whole numbers from zero.
        levels: The levels of quantiles, above 0 and below 1, from small to large.
        method: ``"isotonic"`` or ``"temperature"``.
        seed: A key or an integer, needed for draws of counts, see `pit`.

    Returns:
        A function that recalibrates predictions of the same kind, for any rows. Draws keep
        their number and their order within each row, so that the dependence between rows is
        preserved. They stay between the outermost draws, so that predictions that are much too
        narrow keep short tails. The function is a pytree.

    Raises:
        TypeError: If an entry is not a real number.
        ValueError: If the shapes do not match, there is no entry, one is NaN or infinite,
            `method` is unknown, a level is out of range, probabilities do not sum to one, or an
            observed class has probability zero.

    Example:
        >>> import jax
        >>> keys = jax.random.split(jax.random.key(0))
        >>> y, draws = jax.random.normal(keys[0], (500,)), jax.random.normal(keys[1], (200, 500))
        >>> mend = recalibrate(3 * draws, y)  # three times too wide
        >>> bool(2.6 < (3 * draws).std() / mend(3 * draws).std() < 3.4)
        True

    References:
        Kuleshov, Fenner, Ermon (2018), "Accurate uncertainties for deep learning using
        calibrated regression", ICML, algorithm 1; Guo et al. (2017), "On calibration of
        modern neural networks", ICML, section 4.2.
    """
    if _checks.one_of("method", method, ("isotonic", "temperature")) == "temperature":
        if levels is not None:
            raise ValueError('`levels` are for quantiles: omit them for "temperature".')
        return _fit_temperature(prediction, y)
    if levels is None:
        u = pit(y, prediction, seed=seed)
    else:
        p, off = as_quantiles(y, prediction, levels)
        u = _place_among(p.ravel(), jnp.sort(off, axis=0).reshape(len(off), -1))
    places = jnp.concatenate([jnp.zeros(1), jnp.sort(u.ravel()), jnp.ones(1)])
    frequencies = jnp.linspace(0.0, 1.0, len(places))
    kept = None if levels is None else jnp.asarray(check_levels("levels", levels), float)
    return QuantileRecalibration(places, frequencies, kept)


def _place_among(
    levels: Float[Array, " q"], off: Float[Array, "q n"]
) -> Float[Array, " n"]:
    """The level at which the quantiles minus the observation cross zero.

    Beyond the outermost quantiles, where the level is unknown, it is half way to 0 or 1.
    """
    inner = jax.vmap(lambda x: jnp.interp(0.0, x, levels), 1)(off)
    inner = jnp.where(off[0] > 0, levels[0] / 2, inner)
    return jnp.where(off[-1] < 0, (1 + levels[-1]) / 2, inner)


@jax.jit
def _at_levels(draws: Float[Array, "s *rows"], levels: Float[Array, " s"]) -> Array:
    """The quantiles of the draws of each row at `levels`, in the order of its draws."""
    s = draws.shape[0]
    # The draw of rank i is the quantile at (i + 1/2) / s.
    at = jnp.clip(levels * s - 0.5, 0, s - 1)
    low = jnp.floor(at).astype(int)
    share = (at - low).reshape(-1, *[1] * (draws.ndim - 1))
    ordered = jnp.sort(draws, axis=0)
    mended = (1 - share) * ordered[low] + share * ordered[jnp.minimum(low + 1, s - 1)]
    rank = jnp.argsort(jnp.argsort(draws, axis=0), axis=0)
    return jnp.take_along_axis(mended, rank, axis=0)


def _fit_temperature(prediction: Any, y: Any) -> TemperatureRecalibration:
    as_probabilities(prediction, name="prediction")
    y, probs = rows_of_classes(y, prediction)
    found = jnp.log(probs)
    taken = jnp.take_along_axis(found, y[:, None], axis=-1)
    if not isinstance(taken, jax.core.Tracer) and bool(jnp.isinf(taken).any()):
        raise ValueError(
            f"`prediction` has probability zero for the class in `y` in "
            f"{int(jnp.isinf(taken).sum())} rows: no temperature can correct that. Compute them "
            "from the logits in double precision."
        )
    return TemperatureRecalibration(_temperature(found, taken[:, 0]))


@jax.jit
def _temperature(
    log_probs: Float[Array, "n k"], taken: Float[Array, " n"]
) -> Float[Array, ""]:
    """Maximize the likelihood, which is concave in 1 / T, by finding the zero of its slope."""
    is_some = jnp.isfinite(log_probs)
    known = jnp.where(is_some, log_probs, 0.0)

    def slope(beta: Array) -> Array:
        expected = (
            jax.nn.softmax(jnp.where(is_some, beta * known, -jnp.inf), axis=-1) * known
        )
        return jnp.mean(taken - expected.sum(-1))

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        is_rising = slope(jnp.exp(middle)) > 0
        return jnp.where(is_rising, middle, low), jnp.where(is_rising, high, middle)

    start = (
        jnp.asarray(-_LOG_MOST, log_probs.dtype),
        jnp.asarray(_LOG_MOST, log_probs.dtype),
    )
    low, high = lax.fori_loop(0, _NUM_HALVINGS, halve, start)
    return jnp.exp(-(low + high) / 2)
