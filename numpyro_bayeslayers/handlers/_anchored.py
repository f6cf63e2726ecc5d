"""Anchored priors: ensembles of modes whose spread approximates the posterior's."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax, random
from jaxtyping import Array
from numpyro.handlers import seed, trace
from numpyro.primitives import _PYRO_STACK, Messenger, plate

from .. import _checks, primitives
from .._typing import Message, Model, PRNGKey
from ._above import above, no_handlers
from ._feasible import feasible

#: Suffixes of a site's name for its anchor and its noise, both in standard deviations.
ANCHOR, NOISE = "_anchor", "_noise"

# Marks an observation that has been perturbed.
_MOVED = "_bayeslayers_moved"


def anchored(model: Model | None = None, use_noise: bool = False) -> Callable[..., Any]:
    r"""Center each normal prior of a model at a fixed draw from it.

    $$\theta \sim N(\mu, \sigma^2) \quad \text{becomes} \quad
    \theta \sim N(\mu + \sigma z,\ \sigma^2), \qquad z \sim N(0, 1) \ \text{once}$$

    In an ensemble of anchored models, the modes differ like their anchors where the data are
    uninformative, and agree where the data are informative. Each run draws separate anchors,
    and within `ensemble` (or `EnsembleSVI`, or an ensemble of `fit`) each member does:
    ``EnsembleSVI(anchored(model), AutoDelta, ...)``. The anchors are parameters without a
    gradient.

    For a linear model with design $\Phi$, normal noise of variance $\tau^2$ and posterior
    covariance $A^{-1}$, $A = \Phi^\top \Phi / \tau^2 + \sigma^{-2} I$, the members' modes have
    the mean of the posterior and the covariance $A^{-1} \sigma^{-2} A^{-1}$. This equals the
    posterior covariance where there are no data; where there are data it is smaller, because
    the contribution of the noise is missing. With `use_noise`, each member's observations are
    also perturbed by a draw of their noise, and the modes are exact draws from the posterior.

    Sites whose prior is neither normal nor multivariate normal are unchanged. So is the whole
    model if it has no observations, as in prior draws and predictions.

    Args:
        model: A NumPyro model. If it is omitted, the result is a decorator.
        use_noise: Whether normal observations are also perturbed by $\tau z$, with one $z$ for
            each. The noise must be known: the perturbations would inflate an estimated scale.
            This applies only inside an ELBO (`SVI`, `EnsembleSVI`, `fit`), with all rows in
            each step.

    Raises:
        TypeError: If `use_noise` is not a Boolean.
        ValueError: When run, if the model has no latent site with a normal prior; if a site
            with an anchor is in a subsampled plate; with `use_noise`, if no observation is
            normal, if a latent site is not, or if rows are subsampled or weighted.

    Example:
        >>> import numpyro
        >>> from numpyro.handlers import seed, trace
        >>> def model(y=None):
        ...     theta = numpyro.sample("theta", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(theta, 1.0), obs=y)
        >>> list(trace(seed(anchored(model), 0)).get_trace(1.0))
        ['theta_anchor', 'theta', 'y']

    References:
        Pearce, Leibfried, Brintrup, Zaki, Neely (2020), "Uncertainty in neural networks:
        approximately Bayesian ensembling", AISTATS, section 3 and equation 9; Lu and Van Roy
        (2017), "Ensemble sampling", NeurIPS, section 4, for the noise.

    Note:
        Do not use an optimizer with weight decay: it would shrink the anchors, and the prior
            already regularizes.
    """
    use_noise = _checks.switch("use_noise", use_noise)
    if model is None:
        return functools.partial(anchored, use_noise=use_noise)
    _checks.function("model", model)

    @functools.wraps(model, updated=())
    def around(*args: Any, **kwargs: Any) -> Any:
        if not _observes(model, args, kwargs):
            return model(*args, **kwargs)
        with _Anchored(use_noise):
            return model(*args, **kwargs)

    return around


def _observes(model: Model, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether the model has observations with these arguments; nothing is computed."""
    found = False

    def run() -> None:
        nonlocal found
        sites = trace(seed(feasible(model), random.key(0))).get_trace(*args, **kwargs)
        found = any(
            site["type"] == "sample"
            and site["is_observed"]
            and primitives.DIVERGENCE not in site["infer"]
            for site in sites.values()
        )

    with no_handlers():
        jax.eval_shape(run)
    return found


class _Anchored(Messenger):
    """Adds anchors to latent sites, and noise to observed ones."""

    def __init__(self, use_noise: bool) -> None:
        self._use_noise = use_noise
        self._anchored: list[str] = []
        self._moved = False
        super().__init__()

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        if exception[0] is not None:
            return
        if not self._anchored:
            raise ValueError(
                "`anchored` found no latent site with a normal prior in the model, so it would "
                "change nothing. Remove it, or give the weights normal priors."
            )
        if self._use_noise and not self._moved and primitives.is_replayed():
            raise ValueError(
                "`use_noise` is for normal observations, of which the model has none. Use "
                "`anchored(model)`."
            )

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample":
            return
        if not msg["is_observed"]:
            moved = self._centered(msg)
            if moved is not None:
                msg["fn"] = moved
                self._anchored.append(msg["name"])
            elif self._use_noise:
                raise ValueError(
                    "`use_noise` is for models of known noise, whose latent sites all have "
                    f"normal priors, but {msg['name']!r} has {type(msg['fn']).__name__}: the "
                    "perturbations would inflate an estimated scale. Use `anchored(model)` "
                    "without `use_noise`, or fix the scale."
                )
        elif self._use_noise and primitives.is_replayed():
            base = _normal(msg["fn"])
            if base is None or isinstance(base, dist.MultivariateNormal):
                return
            scale = lax.stop_gradient(base.scale)
            noise = self._kept(msg, NOISE, msg["fn"].shape())
            if noise.shape != jnp.shape(msg["value"]):
                raise ValueError(
                    f"`use_noise` has noise for the observations of {msg['name']!r} of shape "
                    f"{noise.shape}, but got observations of shape {jnp.shape(msg['value'])}. "
                    "It cannot be combined with validation rows."
                )
            msg["value"] = msg["value"] + scale * noise
            self._moved = msg[_MOVED] = True

    def postprocess_message(self, msg: Message) -> None:
        # By now all outer handlers have scaled it, including those of minibatches.
        if msg.get(_MOVED) and msg["scale"] is not None:
            raise ValueError(
                f"`use_noise` needs all rows in each step, each once, but {msg['name']!r} is "
                "scaled by minibatches or weights. Use `anchored(model)` without `use_noise`."
            )

    def _centered(self, msg: Message) -> dist.Distribution | None:
        fn = msg["fn"]
        base = _normal(fn)
        if base is None:
            return None
        z = self._kept(msg, ANCHOR, fn.shape())
        if isinstance(base, dist.MultivariateNormal):
            root = base.scale_tril
            loc = base.loc + jnp.matmul(root, z[..., None])[..., 0]
            moved: dist.Distribution = dist.MultivariateNormal(loc, scale_tril=root)
        else:
            moved = dist.Normal(base.loc + base.scale * z, base.scale)
        return moved.to_event(fn.event_dim - moved.event_dim)

    def _kept(self, msg: Message, suffix: str, shape: tuple[int, ...]) -> Array:
        """Standard normal numbers, drawn once."""
        frames = {frame.name for frame in msg["cond_indep_stack"]}
        for other in _PYRO_STACK:
            is_around = isinstance(other, plate) and other.name in frames
            if is_around and other.subsample_size != other.size:
                raise ValueError(
                    f"`anchored` keeps one number for each entry of a site, and {msg['name']!r} "
                    f"is in the plate {other.name!r}, which is subsampled."
                )

        def start(key: PRNGKey, shape: tuple[int, ...]) -> Array:
            return random.normal(key, shape)

        with above(self):
            return lax.stop_gradient(
                primitives.param(msg["name"] + suffix, start, shape).value
            )


def _normal(fn: Any) -> dist.Normal | dist.MultivariateNormal | None:
    """The normal inside a distribution that is neither masked nor transformed, or None."""
    while isinstance(fn, (dist.Independent, dist.ExpandedDistribution)):
        fn = fn.base_dist
    return fn if isinstance(fn, (dist.Normal, dist.MultivariateNormal)) else None
