"""Neural fields, sinusoidal networks, encoders."""

from numpyro_bayeslayers import layers

from .case import Case


def field(name: str | None) -> layers.BayesianNeuralField:
    return layers.BayesianNeuralField(
        [2.0, 0.5, 1.0], [1, 0, 2], [(0, 1), (1, 2)], [4.0, 8.0], [2, 3], 6, 2, name=name
    )


LAYERS: dict[str, Case] = {"BayesianNeuralField": Case(field)}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES: dict[str, Case] = {}
