"""NumPyro models as functions of their unconstrained parameters."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, PyTree
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.util import is_identically_one
from numpyro.handlers import seed, substitute, trace

from .. import _checks
from .._typing import Message, Model, PRNGKey
from ..primitives import DIVERGENCE
from ._ensemble import InitFn, LogJoint

Params = dict[str, Array]


def log_joint_of(
    model: Model, *example: Any, **example_kwargs: Any
) -> tuple[InitFn, LogJoint]:
    r"""Turn a NumPyro model into what `EnsembleMAP` takes.

    Parameters are a dictionary of unconstrained values by site name,
    $\theta = T(\phi)$ with NumPyro's bijection $T$ to the support of each site, and

    $$\mathrm{loglik} = \log p(y \mid x, T(\phi)), \qquad \mathrm{logprior} = \log p(T(\phi))$$

    There is no Jacobian: the maximum is the mode of the density of the constrained
    parameters, as with `AutoDelta`. Closed-form divergences of layers count as prior.
    ``numpyro.infer.util.constrain_fn(model, (x, y), {}, params)`` gives $\theta$.

    Args:
        model: ``model(x, y)`` with continuous latent sites; optimized `numpyro.param` sites
            are parameters too.
        example: The data ``x, y``, or arrays of their shape: by them the sites, their shapes
            and which of them are observed are found. Nothing is computed with them.
        example_kwargs: Keyword arguments of the model, the same in each call.

    Returns:
        ``init_fn(key)``, which draws each unconstrained entry from U(-2, 2), and
        ``log_joint(params, x, y) -> (loglik, logprior)``, in nats.

    Raises:
        TypeError: If `model` cannot be called.
        ValueError: If there is no example; from the functions, if a latent site is discrete,
            or no site is observed.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro_bayeslayers.infer import EnsembleMAP
        >>> def model(x, y=None):
        ...     scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
        ...     with numpyro.plate("data", x.shape[0]):
        ...         numpyro.sample("y", dist.Normal(x, scale), obs=y)
        >>> x, y = jnp.zeros(100), 2.0 * jnp.ones(100)
        >>> init_fn, log_joint = log_joint_of(model, x, y)
        >>> ensemble = EnsembleMAP(log_joint, init_fn, optax.adam(0.1), ensemble_size=2)
        >>> result = ensemble.run(0, 1500, x, y, progress_bar=False)
        >>> [f"{s:.2f}" for s in jnp.exp(result.params["scale"])]
        ['1.97', '1.97']
    """
    _checks.function("model", model)
    if not example:
        raise ValueError(
            "`log_joint_of` needs example data to find the model's sites with: "
            "log_joint_of(model, x, y)."
        )

    def init_fn(key: PRNGKey) -> Params:
        shapes = jax.eval_shape(lambda: _unconstrained(model, example, example_kwargs))
        keys = random.split(key, max(len(shapes), 1))
        return {
            name: random.uniform(k, x.shape, x.dtype, -2.0, 2.0)
            for k, (name, x) in zip(keys, shapes.items(), strict=False)
        }

    def log_joint(
        params: Params, x: PyTree, y: PyTree
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        def constrained(site: Message) -> Array | None:
            value = params.get(site["name"])
            return None if value is None else _bijection(site)(value)

        # A key for what is random beside the sites, the same in each call.
        fixed = seed(substitute(model, substitute_fn=constrained), random.key(0))
        sites = trace(fixed).get_trace(x, y, **example_kwargs)
        loglik, logprior = jnp.zeros(()), jnp.zeros(())
        observed = [
            n for n, s in sites.items() if s["type"] == "sample" and s["is_observed"]
        ]
        if not observed:
            raise ValueError("`model` must have an observed site: give the data to `obs=`.")
        for name, site in sites.items():
            if site["type"] != "sample":
                continue
            density = jnp.sum(_scaled(site["fn"].log_prob(site["value"]), site["scale"]))
            if name in observed and DIVERGENCE not in site["infer"]:
                loglik += density
            else:
                logprior += density
        return loglik, logprior

    return init_fn, log_joint


def _scaled(density: Array, scale: Any) -> Array:
    return density if scale is None or is_identically_one(scale) else scale * density


def _bijection(site: Message) -> Any:
    if site["type"] == "param":
        return biject_to(site["kwargs"].get("constraint", constraints.real))
    return biject_to(site["fn"].support)


def _unconstrained(model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Params:
    """One prior draw in unconstrained space."""
    found = {}
    for name, site in trace(seed(model, random.key(0))).get_trace(*args, **kwargs).items():
        is_latent = site["type"] == "sample" and not site["is_observed"]
        if is_latent and site["fn"].support.is_discrete:
            raise ValueError(
                f"The latent site {name!r} is discrete and has no mode to climb to. Give its "
                "data to the example, or sum it out."
            )
        if is_latent or site["type"] == "param":
            value = _bijection(site).inv(site["value"])
            found[name] = jnp.asarray(value, jnp.result_type(float))
    return found
