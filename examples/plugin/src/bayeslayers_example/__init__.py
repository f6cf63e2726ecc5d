"""A layer, a handler, a distribution and a term for numpyro-bayeslayers: copy and change."""

from ._distribution import HyperbolicSecant as HyperbolicSecant
from ._handler import quantize as quantize
from ._layer import LaplaceLinear as LaplaceLinear
from ._term import laplace as laplace

__all__ = ["HyperbolicSecant", "LaplaceLinear", "laplace", "quantize"]
