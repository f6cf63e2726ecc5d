"""Equinox modules as layers, with their parameters declared by a table."""

from ._lift import lift as lift
from ._lifted import Lifted as Lifted, LiftedLinear as LiftedLinear
