r"""The laws of observations as arrays of parameters: read, put back, and their information.

The Fisher information of the parameters $\eta$ of one observation is given by columns $s_k$,

$$F(\eta) = E_{y \sim p(y \mid \eta)}[s s^T] = \sum_k s_k s_k^T, \qquad
s = \nabla_\eta \log p(y \mid \eta)$$

In the natural parameters of an exponential family it is the Hessian of the negative log
density, so that $J^T F J$ is the generalised Gauss-Newton matrix.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jaxtyping import Array
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.util import is_identically_one

from ..._typing import Message
from ...distributions._support import law_name, nested
from ...distributions._weighted import Weighted

# Outcomes that are summed over, and draws where there are more.
_MOST, _DRAWS = 256, 256

_UNREADABLE = (
    "The likelihood at {name!r}, {law}, cannot be read as parameters of rows, which Laplace "
    'needs. Take VI(guide="normal"), or VI(guide=AutoLaplaceApproximation), which takes the '
    "whole Hessian."
)


class ObservedLaw(NamedTuple):
    """The law of a site, one set of parameters for each observation.

    Args:
        kind: Its class.
        params: Parameters by name, (*observations, *event of the parameter).
        fixed: Arguments of the class that are no such arrays.
        weight: How often each observation counts.
    """

    kind: type[dist.Distribution]
    params: dict[str, Array]
    fixed: dict[str, Any]
    weight: Array

    @classmethod
    def of(cls, msg: Message) -> "ObservedLaw":
        """The law at a site.

        Raises:
            ValueError: If its parameters cannot be read.
        """
        fn = msg["fn"]
        layers = list(nested(fn))
        law: Any = layers[-1]
        batch = fn.shape()[: len(fn.shape()) - law.event_dim]
        inner = lambda x, of: jnp.reshape(
            x, jnp.shape(x) + (1,) * (of.event_dim - law.event_dim)
        )
        weight = jnp.ones(())
        if msg["scale"] is not None and not is_identically_one(msg["scale"]):
            weight = weight * inner(msg["scale"], fn)
        for layer in layers[:-1]:
            if isinstance(layer, Weighted):
                weight = weight * inner(layer.weights, layer)
            if isinstance(layer, dist.MaskedDistribution):
                weight = weight * inner(layer._mask, layer)
        params: dict[str, Array] = {}
        fixed: dict[str, Any] = {}
        try:
            for name, constraint in law.arg_constraints.items():
                if isinstance(law, dist.MultivariateNormal) and name not in vars(law):
                    continue
                value = getattr(law, name)
                if not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
                    fixed[name] = value
                    continue
                event = jnp.shape(value)[jnp.ndim(value) - constraint.event_dim :]
                params[name] = jnp.broadcast_to(value, (*batch, *event))
            made = cls(type(law), params, fixed, jnp.broadcast_to(weight, batch))
            shape = jax.eval_shape(lambda: made.law().log_prob(law.sample(random.key(0))))
            if shape.shape != batch or not params:
                raise TypeError
        except (AttributeError, NotImplementedError, TypeError, ValueError):
            text = _UNREADABLE.format(name=msg["name"], law=law_name(fn))
            raise ValueError(text) from None
        return made

    def law(self, params: dict[str, Array] | None = None) -> Any:
        """The law itself, of these parameters."""
        values = self.params if params is None else params
        return self.kind(**values, **self.fixed, validate_args=False)

    def columns(self, key: Array) -> dict[str, Array]:
        """Columns of the information by parameter, led by their number.

        Exact for a normal, for Poisson counts and where outcomes are few; elsewhere the mean
        over 256 draws.
        """
        if self.kind is dist.Normal:
            scale = self.params["scale"]
            nothing = jnp.zeros_like(scale)
            return {
                "loc": jnp.stack([1 / scale, nothing]),
                "scale": jnp.stack([nothing, jnp.sqrt(2.0) / scale]),
            }
        if self.kind is dist.Poisson:
            return {"rate": self.params["rate"][None] ** -0.5}
        law = self.law()
        outcomes = None
        if self.kind.has_enumerate_support:
            try:
                outcomes = law.enumerate_support(expand=False)
            except (NotImplementedError, TypeError):  # trials that differ
                outcomes = None
        if outcomes is None or len(outcomes) > _MOST:
            draws = law.sample(key, (_DRAWS,))
            return self._scores(draws, lambda _: jnp.full((), _DRAWS**-0.5))
        chance = lambda y: jnp.exp(0.5 * law.log_prob(y))
        return self._scores(outcomes, chance)

    def _scores(self, outcomes: Array, size: Any) -> dict[str, Array]:
        """The gradients of the log density at each outcome, times its `size`."""
        total = lambda params, y: jnp.sum(self.law(params).log_prob(y))

        def column(y: Array) -> dict[str, Array]:
            score, by = jax.grad(total)(self.params, y), size(y)
            lined_up = lambda x: by.reshape(by.shape + (1,) * (x.ndim - by.ndim))
            return {n: x * lined_up(x) for n, x in score.items()}

        return jax.lax.map(column, outcomes)

    def free(self) -> dict[str, Array]:
        """The parameters without bounds: those in which the law is linearized."""
        return {n: _transform(self.kind, n)[1](x) for n, x in self.params.items()}

    def at(self, free: dict[str, Array]) -> dist.Distribution:
        """The law of parameters without bounds."""
        return self.law({n: _transform(self.kind, n)[0](x) for n, x in free.items()})


def _transform(kind: type[dist.Distribution], name: str) -> tuple[Any, Any]:
    """From numbers without bounds to a parameter, and back."""
    constraint = kind.arg_constraints[name]
    if constraint is constraints.simplex:
        return jax.nn.softmax, jnp.log
    try:
        found = biject_to(constraint)
    except NotImplementedError:  # bounds that depend on other parameters
        return (lambda x: x), (lambda x: x)
    return found, found.inv


def rewrapped(fn: dist.Distribution, law: dist.Distribution) -> dist.Distribution:
    """`law` in place of the one inside `fn`, made events, masked and weighed as that is."""
    if isinstance(fn, dist.ExpandedDistribution):
        return rewrapped(fn.base_dist, law)
    if isinstance(fn, dist.Independent):
        base = rewrapped(fn.base_dist, law)
        return base.to_event(fn.reinterpreted_batch_ndims)
    if isinstance(fn, dist.MaskedDistribution):
        mask: Any = fn._mask
        return rewrapped(fn.base_dist, law).mask(mask)
    if isinstance(fn, Weighted):
        return Weighted(rewrapped(fn.base_dist, law), fn.weights)
    return law
