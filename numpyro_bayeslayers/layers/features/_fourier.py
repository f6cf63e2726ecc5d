"""Base of random features, which differ in the frequencies' distribution and in the map."""

import abc
import math
from typing import Any

import numpyro.distributions as dist
from jaxtyping import Array, Float, Num

from ... import _checks
from ..._base import AbstractRowLayer, AbstractVar
from ..._settings import setting
from ...basis import paired_features, phased_features
from ...distributions import IndependentColumns, MaternSpectralDensity
from ...primitives import Site, linear, sample_site
from ._lengthscale import (
    Lengthscale,
    check_lengthscale,
    checked_lengthscale,
    sample_lengthscale,
)


class AbstractRandomFeatures(AbstractRowLayer):
    """Features of random projections, ``map(x W / lengthscale)``.

    A subclass combines a distribution of the frequencies (`_frequencies`) with a map of the
    projections (`_phases`, `_features` and `num_outputs`).
    """

    in_features: AbstractVar[int]
    n_features: AbstractVar[int]
    init_lengthscale: AbstractVar[Lengthscale]

    def __check_init__(self) -> None:
        check_lengthscale("init_lengthscale", self.init_lengthscale, self.in_features)

    @property
    @abc.abstractmethod
    def num_outputs(self) -> int:
        """Number of features per row."""

    @abc.abstractmethod
    def _frequencies(self) -> dist.Distribution:
        """The prior of the frequencies, of event shape (in_features, n_features)."""

    @abc.abstractmethod
    def _features(self, z: Array) -> Array:
        """The features of projections (..., n, n_features)."""

    def _phases(self) -> Site | None:
        """Phases that are added to the projections, if any."""
        return None

    def _rows(self, x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
        frequencies = sample_site("W", self._frequencies())
        phases = self._phases()
        scaled = x / sample_lengthscale(self.init_lengthscale)
        return self._features(linear(scaled, frequencies, phases))


class AbstractPairedFeatures(AbstractRandomFeatures):
    """Cosines, then sines."""

    @property
    def num_outputs(self) -> int:
        """Number of features per row, ``2 * n_features``."""
        return 2 * self.n_features

    def _features(self, z: Array) -> Array:
        return paired_features(z)


class AbstractPhasedFeatures(AbstractRandomFeatures):
    """Cosines with random phases."""

    @property
    def num_outputs(self) -> int:
        """Number of features per row, `n_features`."""
        return self.n_features

    def _phases(self) -> Site:
        turn = dist.Uniform(0.0, 2 * math.pi).expand([self.n_features])
        return sample_site("b", turn.to_event(1))

    def _features(self, z: Array) -> Array:
        return phased_features(z)


class AbstractRBFSpectrum(AbstractRandomFeatures):
    """Independent standard normal frequencies."""

    in_features: int = setting(check=_checks.size)
    n_features: int = setting(check=_checks.size)
    init_lengthscale: Lengthscale = setting(check=checked_lengthscale, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        in_features: int,
        n_features: int,
        *,
        lengthscale: Any = 1.0,
        name: str | None = None,
    ) -> Any:
        """Create the layer; `lengthscale` sets `init_lengthscale`."""
        lengthscale = checked_lengthscale("lengthscale", lengthscale)
        return cls(in_features, n_features, lengthscale, name)

    def _frequencies(self) -> dist.Distribution:
        shape = [self.in_features, self.n_features]
        return dist.Normal(0.0, 1.0).expand(shape).to_event(2)


class AbstractLaplaceSpectrum(AbstractRBFSpectrum):
    """Multivariate Cauchy frequency vectors: the Matern spectrum at nu = 1/2."""

    def _frequencies(self) -> dist.Distribution:
        return matern_frequencies(0.5, self.in_features, self.n_features)


class AbstractMaternSpectrum(AbstractRandomFeatures):
    """Multivariate Student frequency vectors, with 2 nu degrees of freedom."""

    in_features: int = setting(check=_checks.size)
    n_features: int = setting(check=_checks.size)
    init_lengthscale: Lengthscale = setting(check=checked_lengthscale, default=1.0)
    nu: float = setting(check=_checks.positive, default=1.5)
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        in_features: int,
        n_features: int,
        *,
        lengthscale: Any = 1.0,
        nu: float = 1.5,
        name: str | None = None,
    ) -> Any:
        """Create the layer; `lengthscale` sets `init_lengthscale`."""
        lengthscale = checked_lengthscale("lengthscale", lengthscale)
        return cls(in_features, n_features, lengthscale, nu, name)

    def _frequencies(self) -> dist.Distribution:
        return matern_frequencies(self.nu, self.in_features, self.n_features)


def matern_frequencies(nu: float, in_features: int, n_features: int) -> dist.Distribution:
    """Frequency vectors as columns, (in, n); the entries of each share one chi-square draw."""
    return IndependentColumns(MaternSpectralDensity(nu, 1.0, in_features), n_features)
