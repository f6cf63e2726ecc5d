"""Neural fields, sinusoidal networks, encoders."""

import jax

from numpyro_bayeslayers import layers

from .case import Case


def field(name: str | None) -> layers.BayesianNeuralField:
    return layers.BayesianNeuralField(
        [2.0, 0.5, 1.0], [0, 2, 0], [(0, 1), (1, 2)], [4.0], [2], 6, 2, name=name
    )


LAYERS: dict[str, Case] = {
    "BayesianNeuralField": Case(field),
    # At frequency 30 the rounding of a phase is 30 times that of an input; the laws' inputs
    # are as large as 4, so the frequency here is low.
    "BayesianSIREN": Case(
        lambda n: layers.BayesianSIREN.init(
            3, 6, 2, depth=2, first_omega=3.0, hidden_omega=2.0, name=n
        )
    ),
}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES: dict[str, Case] = {
    "Standardization": Case(lambda n: layers.Standardization([0.0, 1.0, 2.0], 2.0, n)),
    "FourierFeatures": Case(lambda n: layers.FourierFeatures([1, 0, 2], name=n)),
    "SeasonalFeatures": Case(lambda n: layers.SeasonalFeatures([4.0], [2], name=n)),
    "InteractionFeatures": Case(lambda n: layers.InteractionFeatures([(0, 1)], n)),
    "Deg2Rad": Case(layers.Deg2Rad),
    "LonLatScale": Case(lambda n: layers.LonLatScale(name=n)),
    "Cartesian3DEncoder": Case(lambda n: layers.Cartesian3DEncoder("degrees", n)),
    "CyclicEncoder": Case(layers.CyclicEncoder),
    "SphericalHarmonicEncoder": Case(lambda n: layers.SphericalHarmonicEncoder(3, name=n)),
    "SirenDense": Case(
        lambda n: layers.SirenDense.init(3, 2, key=jax.random.key(0), name=n)
    ),
    "SIREN": Case(
        lambda n: layers.SIREN.init(3, 6, 2, depth=2, key=jax.random.key(0), name=n)
    ),
}
