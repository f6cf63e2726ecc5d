"""Layers that know how far rows are from the data, and noise of classes."""

import jax

from numpyro_bayeslayers import layers

from .case import NOISE, Case

NOISY = dict.fromkeys(("rows", "batch_axes", "plate", "two_plates", "plated_inputs"), NOISE)
INDEX = "draws an index for each cell of the plates from the enclosing key"
KEY = jax.random.key(0)

LAYERS = {
    "SpectralNormalization": Case(
        lambda n: layers.SpectralNormalization(
            layers.DenseReparameterization(3, 2), 0.5, 20, name=n
        )
    ),
    "RandomFeatureGaussianProcess": Case(
        lambda n: layers.RandomFeatureGaussianProcess.init(3, 2, 4, key=KEY, name=n)
    ),
    "VariationalLastLayer": Case(lambda n: layers.VariationalLastLayer(3, 2, name=n)),
    "VariationalLastLayerClassifier": Case(
        lambda n: layers.VariationalLastLayerClassifier(3, 2, False, name=n)
    ),
    "MCSoftmaxDenseFA": Case(
        lambda n: layers.MCSoftmaxDenseFA(3, 4, 2, 5, 0.5, "fan_in", name=n), excused=NOISY
    ),
    "MCSigmoidDenseFA": Case(
        lambda n: layers.MCSigmoidDenseFA(3, 2, 1, 5, name=n), excused=NOISY
    ),
    "EpinetLayer": Case(
        lambda n: layers.EpinetLayer.init(3, 2, 4, 5, 1, key=KEY, name=n),
        excused=dict.fromkeys(("plate", "two_plates", "plated_inputs"), INDEX),
    ),
    "PriorFunction": Case(
        lambda n: layers.prior_function(layers.DenseReparameterization(3, 2), 2.0, name=n)
    ),
}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES = {
    "LaplaceRandomFeatureCovariance": Case(
        lambda n: layers.LaplaceRandomFeatureCovariance.init(3, 2, likelihood="categorical")
    ),
}
