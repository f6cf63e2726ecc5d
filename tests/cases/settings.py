"""Calls whose arguments are settings: constructors of the tables of layers, and functions."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.infer import NUTS
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers import (
    basis,
    distributions,
    handlers,
    infer,
    layers,
    metrics,
)

from .layers import LAYERS, MODULES

KEY = jax.random.key(0)
X = np.linspace(0.1, 0.9, 6).reshape(3, 2)
COLUMN = X[:, 0]


class Call(NamedTuple):
    """A call, with arguments by name."""

    make: Callable[..., Any]
    arguments: dict[str, Any]

    def with_setting(self, name: str, value: Any) -> Any:
        return self.make(**{**self.arguments, name: value})


# What the layers that are called by name cannot be made without.
NEEDED: dict[str, dict[str, Any]] = {
    "BYM2Layer": {"adjacency": 1 - np.eye(3)},
    "SeasonalStateLayer": {"period": 4},
    "MixtureLayer": {"priors": (dist.Normal(0.0, 0.1), dist.Normal(0.0, 1.0))},
}


def constructors() -> dict[str, Call]:
    """How the tables of layers call constructors: by class, the first call of each."""
    found: dict[str, Call] = {}
    meta = type(eqx.Module)
    construct = meta.__call__

    def noted(cls: type, *args: Any, **kwargs: Any) -> Any:
        if cls.__module__.startswith("numpyro_bayeslayers.") and cls.__name__[0] != "_":
            bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
            bound.apply_defaults()
            given = {name: v for name, v in bound.arguments.items() if name != "self"}
            found.setdefault(cls.__name__, Call(cls, given))
        return construct(cls, *args, **kwargs)

    with mock.patch.object(meta, "__call__", noted):
        for name, case in {**LAYERS, **MODULES}.items():
            case.make("a")
            if getattr(layers, name).__name__ not in found:  # called by name, made before
                getattr(layers, name)(**NEEDED.get(name, {}))
    return found


def model(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def log_joint(w, x, y):
    return -jnp.sum((y - x @ w) ** 2), -jnp.sum(w**2)


def start(key):
    return jax.random.normal(key, (2,))


SIZES = {"in_features": 3, "out_features": 2}
MAKERS = {
    "AffineModulation.init": Call(
        layers.AffineModulation.init,
        {"num_features": 3, "cond_dim": 2, "key": KEY, "init_scale": 0.5, "name": "a"},
    ),
    "ConcatConditioner.init": Call(
        layers.ConcatConditioner.init,
        {"num_features": 3, "cond_dim": 2, "key": KEY, "name": "a"},
    ),
    "ConditionedRFFNet.init": Call(
        layers.ConditionedRFFNet.init,
        {"feat": MODULES["HyperFourierFeatures"].make(None), "out_features": 2, "key": KEY},
    ),
    "HyperLinear.init": Call(
        layers.HyperLinear.init,
        {"target_in": 3, "target_out": 2, "cond_dim": 2, "key": KEY, "init_scale": 0.1},
    ),
    "EpinetLayer.init": Call(
        layers.EpinetLayer.init,
        {**SIZES, "index_dim": 3, "hidden_features": 4, "scale": 0.5, "key": KEY},
    ),
    "LaplaceRandomFeatureCovariance.init": Call(
        layers.LaplaceRandomFeatureCovariance.init,
        {
            "num_features": 3,
            "num_outputs": 2,
            "likelihood": "categorical",
            "ridge_penalty": 0.5,
            "momentum": 0.5,
            "num_rows": 4,
            "use_joint": True,
        },
    ),
    "OrthogonalRandomFeatures.init": Call(
        layers.OrthogonalRandomFeatures.init,
        {"in_features": 3, "n_features": 4, "key": KEY, "lengthscale": 0.5},
    ),
    "RandomFeatureGaussianProcess.init": Call(
        layers.RandomFeatureGaussianProcess.init,
        {**SIZES, "n_features": 4, "key": KEY, "prior_scale": 0.5, "name": "a"},
    ),
    "prior_function": Call(
        layers.prior_function,
        {"layer": layers.DenseReparameterization(3, 2), "scale": 0.5, "name": "a"},
    ),
    "RandomKitchenSinks.init": Call(
        layers.RandomKitchenSinks.init,
        {"rff": layers.RBFFourierFeatures(3, 4), "out_features": 2, "name": "a"},
    ),
    "SIREN.init": Call(
        layers.SIREN.init,
        {
            **SIZES,
            "hidden_features": 4,
            "depth": 2,
            "key": KEY,
            "first_omega": 3.0,
            "c": 6.0,
        },
    ),
    "SirenDense.init": Call(
        layers.SirenDense.init, {**SIZES, "key": KEY, "omega": 3.0, "layer_type": "first"}
    ),
    "RBFFourierFeatures.init": Call(
        layers.RBFFourierFeatures.init,
        {"in_features": 3, "n_features": 4, "lengthscale": 0.5, "name": "a"},
    ),
    "lift": Call(
        layers.lift,
        {
            "module": eqx.nn.Linear(3, 2, key=KEY),
            "priors": {"*": dist.Normal(0, 1)},
            "in_ndim": 1,
            "batch_ensemble": 2,
            "name": "a",
        },
    ),
    "expected_sparsity": Call(
        layers.expected_sparsity, {"p0": 5.0, "d": 20, "n": 100, "sigma": 1.0}
    ),
    "fourier_features": Call(
        basis.fourier_features, {"x": COLUMN, "max_degree": 2, "rescale": True}
    ),
    "seasonal_features": Call(
        basis.seasonal_features,
        {"x": COLUMN, "periods": (4.0, 2.0), "harmonics": (2, 1), "rescale": True},
    ),
    "spherical_harmonic_encode": Call(
        basis.spherical_harmonic_encode,
        {"lonlat": X, "l_max": 2, "input_unit": "degrees"},
    ),
    "lonlat_scale": Call(
        basis.lonlat_scale,
        {"lonlat": X, "lon_range": (0.0, 40.0), "lat_range": (40.0, 60.0)},
    ),
    "arc_cosine_features": Call(
        basis.arc_cosine_features, {"z": jnp.asarray(X), "order": 2}
    ),
    "laplacian_frequencies": Call(
        basis.laplacian_frequencies, {"num_basis_per_dim": (3, 2), "L": (1.0, 2.0)}
    ),
    "mean_field_logits": Call(
        basis.mean_field_logits, {"logits": COLUMN, "variance": COLUMN, "factor": 0.5}
    ),
    "make_knots": Call(basis.make_knots, {"x": COLUMN, "num_knots": 1, "degree": 2}),
    "bspline_basis": Call(
        basis.bspline_basis,
        {"x": COLUMN, "knots": [0.0, 0.0, 1.0, 1.0], "degree": 1, "extrapolate": "linear"},
    ),
    "HaarOrthogonal": Call(distributions.HaarOrthogonal, {"dim": 3}),
    "IndependentColumns": Call(
        distributions.IndependentColumns,
        {"base": dist.Normal(0, 1).expand([2]).to_event(1), "n": 3},
    ),
    "RBFSpectralDensity": Call(
        distributions.RBFSpectralDensity, {"lengthscale": 0.5, "dim": 3}
    ),
    "MaternSpectralDensity": Call(
        distributions.MaternSpectralDensity, {"nu": 1.5, "lengthscale": 0.5, "dim": 3}
    ),
    "Horseshoe": Call(distributions.Horseshoe, {"scale": 0.5}),
    "SpikeAndSlab": Call(
        distributions.SpikeAndSlab,
        {"inclusion": 0.3, "slab_scale": 2.0, "spike_scale": 0.5},
    ),
    "RegularizedHorseshoe": Call(
        distributions.RegularizedHorseshoe,
        {"scale": 0.5, "slab_scale": 2.0, "slab_df": 4.0},
    ),
    "anchored": Call(handlers.anchored, {"model": model, "use_noise": True}),
    "ensemble": Call(handlers.ensemble, {"model": model, "num_members": 3, "name": "e"}),
    "mc_dropout": Call(handlers.mc_dropout, {"fn": model, "rate": 0.5}),
    "mixed_precision": Call(handlers.mixed_precision, {"fn": model, "dtype": "bfloat16"}),
    "temper": Call(handlers.temper, {"fn": model, "beta": 0.5}),
    "autoreparam": Call(infer.autoreparam, {"model": model, "centered": 0.5}),
    "EnsembleSVI": Call(
        infer.EnsembleSVI,
        {
            "model": model,
            "guide": AutoNormal,
            "optim": optax.sgd(0.1),
            "num_members": 3,
            "name": "e",
        },
    ),
    "EnsembleVI": Call(
        infer.EnsembleVI,
        {
            "model_fn": model,
            "guide_fn": AutoNormal,
            "optimizer": optax.sgd(0.1),
            "ensemble_size": 3,
            "kl_weight": 0.5,
            "num_particles": 2,
        },
    ),
    "EnsembleMAP": Call(
        infer.EnsembleMAP,
        {
            "log_joint": log_joint,
            "init_fn": start,
            "optimizer": optax.sgd(0.1),
            "ensemble_size": 3,
            "prior_weight": 0.5,
        },
    ),
    "EnsembleMCMC": Call(
        infer.EnsembleMCMC,
        {"kernel": NUTS(model), "num_warmup": 5, "num_samples": 5, "num_members": 3},
    ),
    "ensemble_init": Call(
        infer.ensemble_init,
        {"init_fn": start, "optimizer": optax.sgd(0.1), "ensemble_size": 3, "seed": 0},
    ),
    "ensemble_loss": Call(
        infer.ensemble_loss, {"log_joint": log_joint, "prior_weight": 0.5, "scale": 2.0}
    ),
    "VI": Call(infer.VI, {"guide": "normal", "optim": 0.02}),
    "Ensemble": Call(infer.Ensemble, {"guide": "normal", "num_members": 3}),
    "MCMC": Call(infer.MCMC, {"num_warmup": 5, "num_samples": 5, "num_chains": 2}),
    "Stein": Call(
        infer.Stein, {"num_particles": 5, "optim": 0.05, "num_elbo_particles": 2}
    ),
    "interval_score": Call(
        metrics.interval_score,
        {"y": COLUMN, "lower": COLUMN - 1, "upper": COLUMN + 1, "alpha": 0.5},
    ),
    "crps_draws": Call(metrics.crps_draws, {"y": COLUMN, "draws": X.T, "average": True}),
    "variogram_score": Call(
        metrics.variogram_score, {"y": X, "draws": X[None], "order": 0.5, "average": False}
    ),
    "reliability": Call(
        metrics.reliability,
        {"y": np.arange(3) % 2, "probs": COLUMN, "num_bins": 2, "binning": "adaptive"},
    ),
    "paired_bootstrap": Call(
        metrics.paired_bootstrap,
        {
            "scores": COLUMN,
            "scores_other": COLUMN**2,
            "num_draws": 20,
            "coverage": 0.5,
            "block_length": 2,
        },
    ),
    "diebold_mariano": Call(
        metrics.diebold_mariano,
        {"scores": COLUMN, "scores_other": COLUMN**2, "horizon": 1},
    ),
    "dyadic_joint_log_score": Call(
        metrics.dyadic_joint_log_score, {"log_likelihood": -X, "num_dyads": 5, "size": 3}
    ),
}


def as_numpy(value: Any) -> Iterator[Any]:
    """The same number, switch, word or sequence in the types of NumPy and JAX."""
    if isinstance(value, (bool, int)):
        yield from (np.asarray(value)[()], jnp.asarray(value))
    elif isinstance(value, float):
        yield from (np.float64(value), np.asarray(value), np.float32(value))
    elif isinstance(value, str):
        yield np.str_(value)
    elif isinstance(value, tuple) and value and isinstance(value[0], (int, float)):
        yield from (np.asarray(value), list(value), tuple(np.asarray(value)))


#: What no number may be.
NO_NUMBERS = ("3", 1j, np.complex64(1j), jnp.asarray(1j), True, np.datetime64("2024-01-01"))
NO_NUMBERS += (np.timedelta64(3, "D"), np.ma.masked, np.nan)
NO_SWITCHES = ("no", 1, 0.0, np.int64(1))
NO_LABELS = (3, "", b"a", np.float64(1.0))
