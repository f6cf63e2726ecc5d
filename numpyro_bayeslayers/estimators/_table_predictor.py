"""Predictions of fitted table estimators: densities and draws of rows."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _checks
from ._scikit_learn import check_consistent_length
from ._table_network import Draws, Network, log_density_of, outputs_of, samples_of
from ._table_reader import AbstractTableReader
from ._table_rows import padded, padded_size
from ._table_training import on_device

# Approximate numbers of rows and of values in a block of predictions.
_BLOCK_ROWS, _BLOCK = 4096, 2**22


class AbstractTablePredictor(AbstractTableReader, abc.ABC):
    """A table estimator after its fit."""

    predict: Any
    network_: Network
    draws_: dict[str, np.ndarray]
    prior_scale_: float
    offset_: np.ndarray
    factor_: float
    units_: tuple[float, float]
    seed_: int

    @abc.abstractmethod
    def _read_outcome(self, y: Any) -> np.ndarray:
        """Outcomes as numbers in double precision, with the learned encoding."""

    def _column(self, y: Any, x: np.ndarray) -> Any:
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target "
                "y is None."
            )
        check_consistent_length(x, y)
        return y

    def _predicted(self, X: Any) -> np.ndarray:
        """One predicted outcome per row."""
        return self.predict(X)

    def _standard(self, y: np.ndarray) -> np.ndarray:
        """Standardized outcomes, as the likelihood expects them."""
        shift, scale = self.units_
        return ((y - shift) / scale).astype(np.float32)

    def _transformed(self, y: np.ndarray) -> np.ndarray:
        return np.log(y) if self.network_.is_log else y

    def _draws(self) -> Draws:
        return Draws(self.draws_, self.prior_scale_, self.offset_, self.factor_)

    def _blocks(self, x: np.ndarray, *of_rows: np.ndarray) -> Any:
        """The outputs of blocks of rows, their other arrays, and the number of rows that count."""
        num_draws = len(next(iter(self.draws_.values())))
        most = max(64, min(_BLOCK_ROWS, _BLOCK // num_draws))
        draws = on_device(self._draws(), float)
        for start in range(0, len(x), most):
            parts = [a[start : start + most] for a in (x, *of_rows)]
            count = len(parts[0])
            parts = [jnp.asarray(padded(a, padded_size(count))) for a in parts]
            outputs = outputs_of(self.network_, draws, parts[0])
            yield draws, outputs, parts[1:], count

    def _over_rows(self, function: Any, x: np.ndarray, *of_rows: np.ndarray) -> np.ndarray:
        """The result of a function of the outputs, with the rows on its last axis."""
        # In double precision the results of a row do not depend on the other rows.
        with jax.enable_x64(True):
            found = [
                np.asarray(function(self.network_, draws, outputs, *parts), float)[
                    ..., :count
                ]
                for draws, outputs, parts, count in self._blocks(x, *of_rows)
            ]
        return np.concatenate(found, -1)

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """The log predictive density (probability, for counts and classes) of each outcome.

        Args:
            X: Rows, with the columns of `fit`.
            y: Their outcomes; if None, the predictions, whose density measures their certainty.

        Returns:
            Log densities (n,) in nats, for outcomes in their own units.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If columns, levels or classes differ from those of `fit`, or numbers of
                rows differ.
        """
        x = self._inputs(X)
        y = self._predicted(X) if y is None else y
        y = self._read_outcome(self._column(y, x))
        z = self._transformed(y)
        density = self._over_rows(log_density_of, x, self._standard(z))
        density -= np.log(self.units_[1])
        return density - z if self.network_.is_log else density

    def sample(self, X: Any, n: int = 1) -> np.ndarray:
        """Draw outcomes for each row, including noise.

        Args:
            X: Rows, with the columns of `fit`.
            n: Number of draws, at least 1. Every call gives the same draws, by the seed of the
                fit.

        Returns:
            Draws (n, rows). Each draw uses one network for all rows, so that sums over rows
            have the correct distribution.

        Raises:
            NotFittedError: Before `fit`.
            ValueError: If columns or levels differ from those of `fit`.
        """
        n = _checks.size("n", n)
        x = self._inputs(X)
        members = len(next(iter(self.draws_.values())))
        rng = np.random.default_rng(self.seed_)
        rounds = [rng.permutation(members) for _ in range(-(-n // members))]
        chosen = np.concatenate(rounds)[:n]
        key = jax.random.key(self.seed_)
        found = np.empty((n, len(x)))
        start = 0
        for block, (draws, outputs, _, count) in enumerate(self._blocks(x)):
            for i in range(len(rounds)):
                own = jax.random.fold_in(jax.random.fold_in(key, i), block)
                drawn = np.asarray(samples_of(self.network_, draws, outputs, own), float)
                at = slice(i * members, min((i + 1) * members, n))
                found[at, start : start + count] = drawn[chosen[at], :count]
            start += count
        return self._outcomes(found)

    def _outcomes(self, z: np.ndarray) -> Any:
        """Outcomes in their own units."""
        shift, scale = self.units_
        y = shift + scale * z
        return np.exp(y) if self.network_.is_log else y
