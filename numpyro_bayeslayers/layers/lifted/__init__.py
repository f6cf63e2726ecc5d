"""Equinox modules as layers, their parameters declared by a table."""

from ._lift import Lifted as Lifted, LiftedLinear as LiftedLinear, lift as lift
