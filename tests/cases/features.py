"""Random features and their heads."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from numpyro_bayeslayers import layers

from .case import Case

LAYERS = {
    "RBFFourierFeatures": Case(lambda n: layers.RBFFourierFeatures(3, 4, name=n)),
    "RBFCosineFeatures": Case(
        lambda n: layers.RBFCosineFeatures(3, 4, (0.5, 1.0, 2.0), name=n)
    ),
    "MaternFourierFeatures": Case(lambda n: layers.MaternFourierFeatures(3, 4, name=n)),
    "MaternCosineFeatures": Case(
        lambda n: layers.MaternCosineFeatures.init(3, 4, nu=2.5, name=n)
    ),
    "LaplaceFourierFeatures": Case(lambda n: layers.LaplaceFourierFeatures(3, 4, name=n)),
    "LaplaceCosineFeatures": Case(lambda n: layers.LaplaceCosineFeatures(3, 4, name=n)),
    "ArcCosineFourierFeatures": Case(
        lambda n: layers.ArcCosineFourierFeatures(3, 4, name=n)
    ),
    "VariationalFourierFeatures": Case(
        lambda n: layers.VariationalFourierFeatures(3, 4, name=n)
    ),
    "RandomKitchenSinks": Case(
        lambda n: layers.RandomKitchenSinks.init(
            layers.RBFFourierFeatures(3, 4), 2, name=n
        ),
    ),
    "HSGPFeatures": Case(
        lambda n: layers.HSGPFeatures.init(
            3, (3, 2, 1), 10.0, kernel=layers.MaternKernel(), name=n
        )
    ),
    "DeepVSSGP": Case(
        lambda n: layers.DeepVSSGP.init(3, 2, 1, depth=2, n_features=4, name=n)
    ),
    "RBFKernel": Case(
        lambda n: layers.RBFKernel(
            lengthscale=dist.LogNormal(0.0, 1.0).expand([3]).to_event(1), name=n
        )
    ),
    "MaternKernel": Case(lambda n: layers.MaternKernel(nu=1.5, name=n)),
    "PeriodicKernel": Case(
        lambda n: layers.PeriodicKernel(name=n),
        inputs=(jnp.arange(4)[:, None],),
        excused={
            "jit": "the numbers of the harmonics are static",
            "rows": "the numbers of the harmonics are static",
            "batch_axes": "the numbers of the harmonics are integers",
            "plated_inputs": "the numbers of the harmonics are integers",
        },
    ),
}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES = {
    "OrthogonalRandomFeatures": Case(
        lambda n: layers.OrthogonalRandomFeatures.init(3, 4, key=jax.random.key(0))
    ),
}
