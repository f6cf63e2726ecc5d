"""Random features and their heads."""

from .case import Case

LAYERS: dict[str, Case] = {}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES: dict[str, Case] = {}
