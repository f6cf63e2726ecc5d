"""Draws of what would be observed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num, Shaped

from ... import _checks
from ...preprocessing.schema import Level
from ..training._effort import once

_NO_LABELS = (
    "Only predictions of labels have `{name}`: of an observed site that is Bernoulli, "
    "Categorical or OrderedLogistic. Of numbers there are `mean`, `quantiles` and `samples`."
)


class Labels(NamedTuple):
    """What predictions of labels have beside their draws.

    Args:
        probabilities: Of each label, which are the last axis.
        classes: The labels in this order.
    """

    probabilities: Float[Array, "... k"]
    classes: tuple[Level, ...]


class Reach(NamedTuple):
    """Whether a prior reaches the observations.

    A row is beyond what the prior draws there if it is out by a third more than the farthest
    of 64 draws, on a scale that is linear near their median and logarithmic far away.

    Args:
        beyond: The share of observations that are beyond, from 0 to 1.
        advice: What to do, with the figures; empty if less than a tenth is beyond.

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
    """Draws of what would be observed, and their summaries.

    It is a tuple of three, ``mean, std, samples = found.predict(x=x)``. What only labels have
    (`probabilities`, `mode`, `classes`) are attributes and no entries of the tuple, so that
    it unpacks the same whatever is predicted. They are there from the start: computed when
    they are asked for, they would keep the model and its programs alive, and predictions
    could not be stored.

    Args:
        mean: The mean over draws, in the shape of the observations.
        std: The standard deviation over draws, noise included.
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
        """Draws and their summaries, all members' alike.

        Args:
            draws: What was drawn.
            labels: What there is beside, if the draws are labels.
            reach: Whether they reach the observations, if this is known.
        """
        found = cls(*_summaries(draws))
        found._labels, found._reach = labels, reach
        return found

    @property
    def reach(self) -> Reach | None:
        """Whether the draws of a `prior` reach the observations that it was given.

        None for other draws, and for observations without a scale: labels and shares.
        """
        return self._reach

    @property
    def probabilities(self) -> Float[Array, "... k"]:
        """The probability of each label: the mean of the likelihood's own over draws.

        The last axis has the labels in the order of `classes`. There is no noise of draws of
        labels in it: a label of probability 1e-4 has it, though it may never be drawn.

        Raises:
            AttributeError: If the observations are no labels.
        """
        return self._of_labels("probabilities").probabilities

    @property
    def classes(self) -> tuple[Level, ...]:
        """The labels, in the form that the fit was given: words, booleans or numbers from 0.

        Raises:
            AttributeError: If the observations are no labels.
        """
        return self._of_labels("classes").classes

    @property
    def mode(self) -> Shaped[np.ndarray, "..."]:
        """The label of the highest probability, in the form that the fit was given.

        Raises:
            AttributeError: If the observations are no labels.
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
        """The quantiles of each observation over draws.

        Args:
            q: A probability, or several: ``quantiles((0.05, 0.95))`` is a 90% interval.

        Returns:
            In the shape of the observations for one probability; with a first axis of them
            for several, so that ``low, high = predictions.quantiles((0.05, 0.95))``.

        Raises:
            TypeError: If `q` holds no numbers.
            ValueError: If a probability is not from 0 to 1.
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


# With what labels have beside, which JAX does not see in a tuple.
jax.tree_util.register_pytree_node(Predictions, _taken_apart, _put_together)
