"""Dense layers."""

import jax.numpy as jnp
import numpyro.distributions as dist

from numpyro_bayeslayers import layers

from .case import NOISE, Case, X


def laplace(d_in: int, d_out: int) -> dist.Distribution:
    return dist.Laplace(0.0, 1.0).expand([d_in, d_out])


LAYERS = {
    "DenseReparameterization": Case(lambda n: layers.DenseReparameterization(3, 2, name=n)),
    "DenseFlipout": Case(lambda n: layers.DenseFlipout(3, 2, prior_scale=0.5, name=n)),
    "DenseLocalReparameterization": Case(
        lambda n: layers.DenseLocalReparameterization(3, 2, False, "fan_in", name=n)
    ),
    "DenseVariational": Case(lambda n: layers.DenseVariational(3, 2, laplace, name=n)),
    "DenseNCP": Case(lambda n: layers.DenseNCP(3, 2, name=n)),
    "DenseVariationalDropout": Case(
        lambda n: layers.DenseVariationalDropout(3, 2, name=n),
        excused=dict.fromkeys(
            ("rows", "batch_axes", "plate", "two_plates", "plated_inputs", "vmap"), NOISE
        ),
    ),
    "DenseHierarchical": Case(lambda n: layers.DenseHierarchical(3, 2, name=n)),
    "DenseDVI": Case(
        lambda n: layers.DenseDVI(3, 2, name=n),
        inputs=(X, jnp.square(X) + 0.1),
    ),
    "NCPNormalOutput": Case(
        lambda n: layers.NCPNormalOutput(name=n),
        inputs=(X, jnp.square(X) + 0.1),
        excused={
            "rows": "returns one sum over rows",
            "batch_axes": "returns one sum over rows",
            "plate": "has no weights; a plate around it is one over rows",
            "two_plates": "has no weights; a plate around it is one over rows",
            "plated_inputs": "has no weights; a plate around it is one over rows",
            "vmap": "has no weights",
            "gradients": "the divergence is infinite at standard deviation zero",
        },
    ),
}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES = {
    "MCDropout": Case(lambda n: layers.MCDropout(0.5)),
    "NCPContinuousPerturb": Case(lambda n: layers.NCPContinuousPerturb(0.1)),
}
