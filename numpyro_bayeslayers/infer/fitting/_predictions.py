"""Draws from predictive distributions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num, Shaped

from ... import _checks
from ...preprocessing.schema import Level
from ..compilation._effort import once

_NO_LABELS = (
    "Only predictions of labels have `{name}`: of an observed site that is Bernoulli, "
    "Categorical or OrderedLogistic. Of numbers there are `mean`, `quantiles` and `samples`."
)


class Labels(NamedTuple):
    """The additional results of predictions of labels.

    Args:
        probabilities: The probability of each label, along the last axis.
        classes: The labels, in the same order.
    """

    probabilities: Float[Array, "... k"]
    classes: tuple[Level, ...]


class Reach(NamedTuple):
    """Whether a prior covers the observations.

    An observation is beyond the prior if it is a third farther out than the farthest of 64
    prior draws, on a scale that is linear near their median and logarithmic far from it.

    Args:
        beyond: The fraction of observations beyond the prior, from 0 to 1.
        advice: What to do, with the figures; empty if less than a tenth is beyond the prior.

    Example:
        >>> Reach(0.0).advice
        ''
    """

    beyond: float
    advice: str = ""


class _Summaries(NamedTuple):
    mean: Float[Array, "..."]
    std: Float[Array, "..."]
    samples: Num[Array, "draws ..."]


class Predictions(_Summaries):
    """Draws from a predictive distribution, and their summaries.

    This is a tuple of three: ``mean, std, samples = found.predict(x=x)``. Results for labels
    only (`probabilities`, `mode`, `classes`) are attributes, not entries of the tuple, so that
    it always unpacks in the same way. They are computed in advance: lazy computation would keep
    the model and its programs alive, and predictions could not be stored.

    Args:
        mean: The mean over draws, in the shape of the observations.
        std: The standard deviation over draws, including noise.
        samples: The draws, (draws, rows, ...).

    Example:
        >>> import jax.numpy as jnp
        >>> draws = jnp.arange(5.0)[:, None] * jnp.ones(3)
        >>> found = Predictions(draws.mean(0), draws.std(0), draws)
        >>> found.quantiles([0.25, 0.75]).shape
        (2, 3)
        >>> mean, std, samples = found
    """

    _labels: Labels | None = None
    _reach: Reach | None = None

    @classmethod
    def of(
        cls,
        draws: Num[Array, "draws members ..."],
        labels: Labels | None = None,
        reach: Reach | None = None,
    ) -> "Predictions":
        """Draws and their summaries, with all members weighted equally.

        Args:
            draws: The draws.
            labels: The additional results, if the draws are labels.
            reach: Whether they cover the observations, if known.
        """
        found = cls(*_summaries(draws))
        found._labels, found._reach = labels, reach
        return found

    @property
    def reach(self) -> Reach | None:
        """Whether the draws of `prior` cover the given observations.

        None for other draws, and for observations without a scale: labels and proportions.
        """
        return self._reach

    @property
    def probabilities(self) -> Float[Array, "... k"]:
        """The probability of each label: the likelihood's probability, averaged over draws.

        The last axis has the labels in the order of `classes`. The probabilities are free of
        the sampling noise of labels: a probability of 1e-4 is reported even if that label is
        never drawn.

        Raises:
            AttributeError: If the observations are not labels.
        """
        return self._of_labels("probabilities").probabilities

    @property
    def classes(self) -> tuple[Level, ...]:
        """The labels, in the form given to the fit: words, booleans or numbers from 0.

        Raises:
            AttributeError: If the observations are not labels.
        """
        return self._of_labels("classes").classes

    @property
    def mode(self) -> Shaped[np.ndarray, "..."]:
        """The most probable label, in the form given to the fit.

        Raises:
            AttributeError: If the observations are not labels.
        """
        probabilities, classes = self._of_labels("mode")
        is_mixed = len({type(label) for label in classes}) > 1
        words = np.asarray(classes, dtype=object if is_mixed else None)
        return words[np.asarray(probabilities).argmax(-1)]

    def _of_labels(self, name: str) -> Labels:
        if self._labels is None:
            raise AttributeError(_NO_LABELS.format(name=name))
        return self._labels

    def quantiles(self, q: float | Sequence[float] | ArrayLike) -> Float[Array, "..."]:
        """Quantiles of each observation over draws.

        Args:
            q: One or several probabilities: ``quantiles((0.05, 0.95))`` is a 90% interval.

        Returns:
            An array in the shape of the observations for one probability. Several probabilities
            add a leading axis: ``low, high = predictions.quantiles((0.05, 0.95))``.

        Raises:
            TypeError: If `q` does not hold numbers.
            ValueError: If a probability is not between 0 and 1.
        """
        probabilities = np.asarray(_checks.numbers("q", q), float)
        if not np.all((probabilities >= 0) & (probabilities <= 1)):
            raise ValueError(f"`q` must hold probabilities from 0 to 1, got {q}.")
        return jnp.quantile(self.samples.astype(float), jnp.asarray(probabilities), axis=0)


@once
def _summaries(draws: Array) -> tuple[Array, Array, Array]:
    """The mean, the standard deviation and the draws of all members, in one small program."""
    samples = draws.reshape(-1, *draws.shape[2:])
    values = samples.astype(float)
    return values.mean(0), values.std(0), samples


def _taken_apart(found: Predictions) -> tuple[Any, Any]:
    labels = found._labels
    beside = None if labels is None else labels.probabilities
    return (tuple(found), beside), (labels and labels.classes, found._reach)


def _put_together(known: Any, parts: Any) -> Predictions:
    (classes, reach), (entries, probabilities) = known, parts
    found = Predictions(*entries)
    found._labels = None if classes is None else Labels(probabilities, classes)
    found._reach = reach
    return found


# With the results for labels, which are not entries of the tuple that JAX sees.
jax.tree_util.register_pytree_node(Predictions, _taken_apart, _put_together)
