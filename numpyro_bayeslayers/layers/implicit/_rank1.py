"""Rank-1 Bayesian neural networks."""

from typing import Any

import jax
import numpyro.distributions as dist
from jax import lax

from ... import _checks
from ..._settings import setting
from ...primitives import Site, sample_site
from ..dense._prior import PriorScale, checked_scale
from ._dense import AbstractRankOneDense


def checked_prior(name: str, value: Any) -> dist.Distribution:
    """Check for a distribution of real numbers, which is repeated over members and entries."""
    if value is None:
        return dist.Normal(1.0, 0.5)
    what = "a distribution of real numbers, such as Normal(1.0, 0.5)"
    _checks.instance(name, value, dist.Distribution, what)
    if value.event_shape or value.support is not dist.constraints.real:
        raise ValueError(
            f"`{name}` must be {what}, got {type(value).__name__} of event shape "
            f"{value.event_shape} and support {value.support}."
        )
    return value


class DenseRank1(AbstractRankOneDense):
    r"""Dense layers of members that differ in two vectors each, which have priors.

    $$y_e = \big((x_e \circ r_e)\, W\big) \circ s_e + b_e, \qquad
    r_{ei} \sim p_r, \quad s_{ej} \sim p_s, \quad W_{ij}, b_{ej} \sim N(0, s^2)$$

    The priors are the same for all members, but the posteriors differ: with the mixture of the
    members as likelihood (`EnsembleMixture`), each member explains what the others do not. With
    a factorized guide (``AutoNormal``), the posterior of the vectors is a mixture of $E$
    normals, one for each member. Unlike `DenseBatchEnsemble`, the layer has no optimized
    parameters, so NUTS samples all of it.

    Inputs have the shape (e, \*batch, in), from `tile_members` or from the previous layer, and
    outputs (e, \*batch, out).

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        num_members: Number of members $E$.
        prior_r: Prior $p_r$ of the vectors that scale the inputs: a distribution of real
            numbers, scalar or of shape (e, in). The default is Normal(1, 0.5).
        prior_s: Prior $p_s$ of the vectors that scale the outputs, scalar or of shape (e, out).
            The default is Normal(1, 0.5).
        bias: Whether to add a bias, one for each member.
        prior_scale: Standard deviation $s$ of the other priors, positive, or ``"fan_in"``
            for $1/\sqrt{in}$.
        name: Prefix of the sites; the default is ``"dense_rank1"``.

    Sites:
        ``weight`` of event shape (in, out); ``r`` (e, in); ``s`` (e, out); ``bias`` (e, out),
        if `bias`.

    Raises:
        ValueError: If a size or the scale is not positive, if a prior does not expand to its
            vectors or is not on the real line, or if the input has the wrong shape.
        TypeError: If a size is not an integer, or a prior is not a distribution.

    Example:
        >>> import jax.numpy as jnp, numpyro.distributions as dist
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import tile_members
        >>> layer = DenseRank1(3, 2, 4, prior_r=dist.Normal(1.0, 0.1), name="hidden")
        >>> seed(layer, 0)(tile_members(jnp.ones((5, 3)), 4)).shape
        (4, 5, 2)

    References:
        Dusenberry et al. (2020), "Efficient and scalable Bayesian neural nets with rank-1
        factors", ICML, sections 3.1 to 3.3.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    num_members: int = setting(check=_checks.size)
    prior_r: dist.Distribution = setting(check=checked_prior, static=False, default=None)
    prior_s: dist.Distribution = setting(check=checked_prior, static=False, default=None)
    bias: bool = setting(check=_checks.switch, default=True)
    prior_scale: PriorScale = setting(check=checked_scale, default=1.0)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        for name, size in (("r", self.in_features), ("s", self.out_features)):
            given = getattr(self, f"prior_{name}").batch_shape
            shape = (self.num_members, size)
            pairs = zip(reversed(given), reversed(shape), strict=False)
            if len(given) > 2 or not all(a in (1, b) for a, b in pairs):
                raise ValueError(
                    f"`prior_{name}` must be one distribution for all entries, or expand to "
                    f"the shape {shape} of members and features, got batch shape {given}."
                )

    def _factor(self, name: str, shape: tuple[int, int]) -> Site:
        # The parameters of a prior are constants, even if they are arrays.
        prior = jax.tree.map(lax.stop_gradient, getattr(self, f"prior_{name}"))
        return sample_site(name, prior.expand(shape).to_event(2))
