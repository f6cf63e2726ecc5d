"""Log densities of NumPyro models as functions of unconstrained parameters."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, PyTree
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.util import is_identically_one
from numpyro.handlers import seed, substitute, trace

from .. import _checks
from .._threads import ALONE
from .._typing import Message, Model, PRNGKey
from ..handlers._feasible import feasible
from ..primitives import DIVERGENCE
from .ensembles._functions import InitFn, LogJoint
from .rows._arguments import take_apart
from .rows._look import Look
from .training._kept import refuse_kept

Params = dict[str, Any]


def log_joint_of(
    model: Model, *example: Any, **example_kwargs: Any
) -> tuple[InitFn, LogJoint]:
    r"""Convert a NumPyro model into the functions that `EnsembleMAP` needs.

    Parameters are a dictionary of unconstrained values by site name,
    $\theta = T(\phi)$ with NumPyro's bijection $T$ to the support of each site, and

    $$\mathrm{loglik} = \log p(y \mid x, T(\phi)), \qquad \mathrm{logprior} = \log p(T(\phi))$$

    There is no Jacobian term: the maximum is the mode of the density in the constrained space,
    as with `AutoDelta`. Closed-form divergences of layers are part of the prior.
    ``numpyro.infer.util.constrain_fn(model, (x, y), {}, params)`` gives $\theta$.

    `EnsembleMAP` may pass and scale minibatches, if no latent site grows with the rows. A plate
    with a given subsample also scales its sites, but must not choose the rows itself, because a
    log density has no random key.

    Args:
        model: ``model(x, y)`` with continuous latent sites; optimized `numpyro.param` sites
            are parameters too, with a flat prior.
        example: The data ``x, y`` or a few rows of them, which determine the sites, their
            shapes, and which sites are observed. Latent sites must not depend on further data.
        example_kwargs: Keyword arguments of the model, the same in each call.

    Returns:
        ``init_fn(key)``, which draws each unconstrained entry of a latent site from U(-2, 2),
        like NumPyro's `init_to_uniform`, and uses the initial values of `numpyro.param` sites;
        and ``log_joint(params, x, y) -> (loglik, logprior)``, in nats.

    Raises:
        TypeError: If `model` cannot be called.
        ValueError: If there is no example, or an observation is outside the support of its
            likelihood (`EnsembleMAP.run` checks all rows); from the functions, if a latent site
            is discrete, the model has state that changes between steps (`numpyro.mutable`, a
            schedule of `temper`), no site is observed, `params` do not match the model's sites
            in name and shape, or a plate chooses rows.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist, optax
        >>> from numpyro_bayeslayers.infer import EnsembleMAP
        >>> def model(x, y=None):
        ...     scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
        ...     with numpyro.plate("data", x.shape[0]):
        ...         numpyro.sample("y", dist.Normal(x, scale), obs=y)
        >>> x, y = jnp.zeros(100), 2.0 * jnp.ones(100)
        >>> init_fn, log_joint = log_joint_of(model, x, y)
        >>> optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 500), b2=0.9)
        >>> ensemble = EnsembleMAP(log_joint, init_fn, optimizer, ensemble_size=2)
        >>> result = ensemble.run(0, 500, x, y, progress_bar=False)
        >>> [f"{s:.2f}" for s in jnp.exp(result.params["scale"])]
        ['1.98', '1.98']
    """
    _checks.function("model", model)
    if not example:
        raise ValueError(
            "`log_joint_of` needs example data to find the model's sites: log_joint_of(model, "
            "x, y)."
        )

    def init_fn(key: PRNGKey) -> Params:
        with ALONE:
            key_latent, key_param = random.split(key)
            start = functools.partial(_start, model, args=example, kwargs=example_kwargs)
            shapes, has_params = jax.eval_shape(start, key)
            keys = random.split(key_latent, max(len(shapes), 1))
            latent = {
                name: random.uniform(k, x.shape, x.dtype, -2.0, 2.0)
                for k, (name, x) in zip(keys, shapes.items(), strict=False)
            }
            return latent | (start(key_param)[1] if has_params else {})

    def log_joint(
        params: Params, x: PyTree, y: PyTree
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        with ALONE:
            args = (params, model, (x, y), example_kwargs)
            terms, subsamples = _terms(*args)
            if subsamples:
                _check_unused(lambda indices: _terms(*args, indices)[0], subsamples)
            return terms

    with ALONE:
        look, parts = Look(model), take_apart(example, example_kwargs)
        refuse_kept(look.kept(parts), "`log_joint_of`", "`EnsembleSVI`")
        look.at_observations(parts)
    return init_fn, log_joint


def _terms(
    params: Params,
    model: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    indices: dict[str, Array] | None = None,
) -> tuple[tuple[Array, Array], dict[str, Array]]:
    """The two terms, and the indices of all subsampled plates."""
    subsamples: dict[str, Array] = {}

    def value_of(site: Message) -> Any:
        name, kind = site["name"], site["type"]
        if kind == "plate" and site["value"] is None:
            default = jnp.arange(site["args"][1])
            subsamples[name] = default if indices is None else indices[name]
            return subsamples[name]
        if kind == "param" or (kind == "sample" and not site["is_observed"]):
            return _constrained(site, params)
        return None

    # A fixed key for randomness other than that of the sites.
    fixed = seed(substitute(model, substitute_fn=value_of), random.key(0))
    sites = trace(fixed).get_trace(*args, **kwargs)
    samples = {name: site for name, site in sites.items() if site["type"] == "sample"}
    wrong = [name for name in params if name in samples and samples[name]["is_observed"]]
    if wrong:
        raise ValueError(
            f"`params` contain the sites {wrong}, which are observed. Pass the data `y` as an "
            "example too: log_joint_of(model, x, y)."
        )
    if not any(site["is_observed"] for site in samples.values()):
        raise ValueError("`model` must have an observed site: pass the data as `obs=`.")
    loglik, logprior = jnp.zeros(()), jnp.zeros(())
    for site in samples.values():
        density = jnp.sum(_scaled(site["fn"].log_prob(site["value"]), site["scale"]))
        if site["is_observed"] and DIVERGENCE not in site["infer"]:
            loglik += density
        else:
            logprior += density
    return (loglik, logprior), subsamples


def _constrained(site: Message, params: Params) -> Any:
    name = site["name"]
    if name not in params:
        raise ValueError(
            f"`params` must contain all latent sites of the model, got {sorted(params)} "
            f"without {name!r}."
        )
    bijection, value = _bijection(site), params[name]
    if site["type"] == "sample":
        expected = bijection.inverse_shape(site["fn"].shape())
        step = site["infer"].get("_scan_current_index")
        if step is not None and jnp.ndim(value) > len(expected):  # all steps of a `scan`
            value = value[step]
        if jnp.shape(value) != expected:
            raise ValueError(
                f"`params` of the site {name!r} must have shape {expected} for this data, got "
                f"{jnp.shape(value)}. If the site grows with the rows, pass all rows as the "
                "example and leave out `batch_size`."
            )
    return bijection(value)


def _check_unused(terms: Callable[[Any], Any], subsamples: dict[str, Array]) -> None:
    """Check that no plate chooses rows: they would be the same at each step."""
    jaxpr = jax.make_jaxpr(terms)(subsamples).jaxpr
    used = {id(var) for equation in jaxpr.eqns for var in equation.invars}
    # The leaves of a dictionary come in the order of its sorted names.
    for name, var in zip(sorted(subsamples), jaxpr.invars, strict=True):
        if id(var) in used:
            raise ValueError(
                f"The plate {name!r} chooses rows at random, but a log density has no random "
                "key. Leave out `subsample_size` and pass `batch_size` to `EnsembleMAP.run`."
            )


def _scaled(density: Array, scale: Any) -> Array:
    return density if scale is None or is_identically_one(scale) else scale * density


def _bijection(site: Message) -> Any:
    if site["type"] == "param":
        return biject_to(site["kwargs"].get("constraint", constraints.real))
    if site["fn"].support.is_discrete:
        raise ValueError(
            f"The latent site {site['name']!r} is discrete and cannot be optimized by "
            "gradients. Pass its data as an example, or marginalize it."
        )
    return biject_to(site["fn"].support)


def _start(
    model: Model, key: PRNGKey, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Params, Params]:
    """A prior draw of latent sites and the initial values of params, both unconstrained."""
    latent, params = {}, {}
    seeded = seed(feasible(model), key)
    for name, site in trace(seeded).get_trace(*args, **kwargs).items():
        if site["type"] == "param":
            params[name] = jax.tree.map(_bijection(site).inv, site["value"])
        elif site["type"] == "sample" and not site["is_observed"]:
            latent[name] = jnp.asarray(_bijection(site).inv(site["value"]), float)
    return latent, params
