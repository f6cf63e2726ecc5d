"""Priors centered at a draw of themselves: ensembles of modes that spread as a posterior does."""

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

#: What is added to a site's name for its anchor and for its noise, in standard deviations.
ANCHOR, NOISE = "_anchor", "_noise"

# Marks an observation that has been moved.
_MOVED = "_bayeslayers_moved"


def anchored(model: Model | None = None, use_noise: bool = False) -> Callable[..., Any]:
    r"""Center each normal prior of a model at a draw of it, which is made once and kept.

    $$\theta \sim N(\mu, \sigma^2) \quad \text{becomes} \quad
    \theta \sim N(\mu + \sigma z,\ \sigma^2), \qquad z \sim N(0, 1) \ \text{once}$$

    The modes of an ensemble of it differ as their anchors do where data say little, and agree
    where data say much. Each run draws its own anchors, and within `ensemble` (or
    `EnsembleSVI`, or an ensemble of `fit`) each member does: ``EnsembleSVI(anchored(model),
    AutoDelta, ...)``. The anchors are parameters that get no gradient.

    For a linear model with design $\Phi$, normal noise of variance $\tau^2$ and posterior
    covariance $A^{-1}$, $A = \Phi^\top \Phi / \tau^2 + \sigma^{-2} I$, the modes of members have
    the posterior's mean, and the covariance $A^{-1} \sigma^{-2} A^{-1}$: that of the posterior
    where there are no data, less where there are, by the part of the noise. With `use_noise`
    each member's observations are moved by a draw of their noise as well, and the modes are
    draws of the posterior, exactly.

    Sites with another prior than a normal or multivariate normal one stay as they are. So does
    the whole model where it observes nothing, as in prior draws and predictions.

    Args:
        model: A NumPyro model. If it is left out, the result is a decorator.
        use_noise: Whether normal observations are moved, too, by $\tau z$ with one $z$ for each.
            The noise must be known: a scale that is estimated would grow by the draws. This is
            done inside of an ELBO only (`SVI`, `EnsembleSVI`, `fit`), with all rows in each
            step.

    Raises:
        TypeError: If `use_noise` is no switch.
        ValueError: In the run, if the model has no latent site with a normal prior; if a site
            with an anchor is in a subsampled plate; with `use_noise`, if no observation is
            normal, if a latent site is not, or if rows are subsampled or weighed.

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
        An optimizer with weight decay would shrink the anchors; the prior decays already.
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
    """Whether the model has data here; nothing is computed."""
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
    """Gives latent sites their anchors, and observed ones their noise."""

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
                    f"normal priors, and {msg['name']!r} has {type(msg['fn']).__name__}: a "
                    "scale that is estimated would take the draws for noise of the data. Use "
                    "`anchored(model)`, or fix it."
                )
        elif self._use_noise and primitives.is_replayed():
            base = _normal(msg["fn"])
            if base is None or isinstance(base, dist.MultivariateNormal):
                return
            scale = lax.stop_gradient(base.scale)
            noise = self._kept(msg, NOISE, msg["fn"].shape())
            if noise.shape != jnp.shape(msg["value"]):
                raise ValueError(
                    f"`use_noise` keeps one number for each observation of {msg['name']!r}, "
                    f"{noise.shape}, and meets others, of shape {jnp.shape(msg['value'])}. "
                    "Validation rows do not go with it."
                )
            msg["value"] = msg["value"] + scale * noise
            self._moved = msg[_MOVED] = True

    def postprocess_message(self, msg: Message) -> None:
        # Now all handlers outside have scaled it, those of minibatches among them.
        if msg.get(_MOVED) and msg["scale"] is not None:
            raise ValueError(
                f"`use_noise` needs all rows in each step, each once, and {msg['name']!r} is "
                "scaled: it has minibatches or weights. Use `anchored(model)`."
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
    """The normal behind a distribution that is neither masked nor transformed."""
    while isinstance(fn, (dist.Independent, dist.ExpandedDistribution)):
        fn = fn.base_dist
    return fn if isinstance(fn, (dist.Normal, dist.MultivariateNormal)) else None
