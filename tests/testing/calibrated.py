"""Models and methods whose posteriors are right: a table, of the slow tests and of their picture.

Each model is the smallest that has what its family is about, so that a run of `sbc` takes less
than a minute of one processor.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import NUTS
from numpyro.infer.autoguide import AutoMultivariateNormal

from numpyro_bayeslayers.basis import make_knots
from numpyro_bayeslayers.infer import (
    MCLMC,
    MCMC,
    VI,
    AdjustedMCLMC,
    EnsembleMCMC,
    Laplace,
)
from numpyro_bayeslayers.layers import (
    AdaptiveLayer,
    DenseReparameterization,
    InterceptLayer,
    PSplineLayer,
    RandomEffectsLayer,
    gaussian_link,
    poisson_link,
)
from numpyro_bayeslayers.testing import Calibration, sbc

X = np.linspace(-1.0, 1.0, 20)
KNOTS = make_knots(X, 5)
SCHOOLS = np.arange(20) % 5
LENGTHS: dict[str, Any] = {"num_chains": 1, "num_warmup": 200, "num_samples": 400}
CAREFUL = {"kernel_options": {"target_accept_prob": 0.95}}


def dense(x, y=None):
    mean = DenseReparameterization(2, 1, name="out")(x)[..., 0]
    numpyro.sample("y", dist.Normal(mean, 0.5).to_event(1), obs=y)


def effects(x, y=None):
    mean = InterceptLayer()("base", 1) + AdaptiveLayer()("slope", x)
    return gaussian_link(mean, y)


def smooth(x, y=None):
    curve = PSplineLayer()("curve", x, KNOTS)[..., 0]
    numpyro.sample("y", dist.Normal(curve, 0.5).to_event(1), obs=y)


def groups(x, y=None):
    mean = InterceptLayer()("base", 1) + RandomEffectsLayer()("school", x, 5)
    return gaussian_link(mean, y)


def counts(x, y=None):
    return poisson_link(InterceptLayer()("base", 1) + AdaptiveLayer()("slope", x), y)


def ensemble_of_chains() -> Callable[..., Any]:
    """Two chains of `EnsembleMCMC`, whose programs all replications share."""
    chains = EnsembleMCMC(NUTS(effects), 200, 200, num_members=2)

    def draws(key: Any, y: Any) -> dict[str, Any]:
        samples = chains.run(key, X, y, progress_bar=False).samples
        return {n: np.asarray(x).reshape(-1, *x.shape[2:]) for n, x in samples.items()}

    return draws


class Case(NamedTuple):
    """A model, a method that has its posterior, and how both are run."""

    model: Callable[..., Any]
    method: Callable[[], Any]
    x: np.ndarray = X
    num_replications: int = 60
    num_draws: int = 99
    num_steps: int | None = None

    def run(self) -> Calibration:
        """The ranks."""
        given = self._asdict()
        method = given.pop("method")()
        return sbc(given.pop("model"), method=method, **given)


PLANE = np.stack([X, X**2], 1).astype(np.float32)

LONG = LENGTHS | {"num_samples": 1000}
CASES = {
    "dense layer, NUTS": Case(
        dense, lambda: MCMC(**LONG, **CAREFUL), PLANE, num_replications=100, num_draws=49
    ),
    "effects, NUTS": Case(effects, lambda: MCMC(**LENGTHS), num_replications=200),
    "smooth, NUTS": Case(smooth, lambda: MCMC(**LENGTHS)),
    "groups, NUTS": Case(groups, lambda: MCMC(**LENGTHS), SCHOOLS),
    "counts, NUTS": Case(counts, lambda: MCMC(**LENGTHS)),
    "effects, EnsembleMCMC": Case(effects, ensemble_of_chains),
    "effects, MCLMC": Case(effects, lambda: MCMC(**LONG, kernel=MCLMC)),
    "effects, AdjustedMCLMC": Case(effects, lambda: MCMC(**LENGTHS, kernel=AdjustedMCLMC)),
    # Of a known spread, the posterior is normal, which both families of these contain.
    "dense layer, VI of full rank": Case(
        dense, lambda: VI(guide=AutoMultivariateNormal), PLANE, num_steps=2000
    ),
    "dense layer, Laplace": Case(dense, Laplace, PLANE, num_steps=1000),
}
