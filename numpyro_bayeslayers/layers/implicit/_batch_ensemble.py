"""The batch ensemble."""

from typing import Any, Literal, TypeAlias

import jax.numpy as jnp
from jax import random
from jaxtyping import Array

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey
from ...primitives import Site, param
from ..dense._prior import PriorScale, checked_scale
from ._dense import AbstractRankOneDense

# How members' vectors start: at random signs, or at ones plus noise of a standard deviation.
Start: TypeAlias = float | Literal["signs"]


def checked_start(name: str, value: Any) -> Start:
    """A positive number or the name of the rule."""
    if not isinstance(value, str):
        return _checks.positive(name, value)
    if value != "signs":
        raise ValueError(f"`{name}` must be a positive number or 'signs', got {value!r}.")
    return "signs"


def factor(name: str, shape: tuple[int, ...], start: Start) -> Site:
    """Register an optimized vector of each member."""

    def init(key: PRNGKey, shape: tuple[int, ...]) -> Array:
        if isinstance(start, str):
            return random.rademacher(key, shape, jnp.result_type(float))
        return 1.0 + start * random.normal(key, shape)

    return param(name, init, shape)


class DenseBatchEnsemble(AbstractRankOneDense):
    r"""Dense layers of members that share one weight matrix and have two vectors each.

    $$y_e = \big((x_e \circ r_e)\, W\big) \circ s_e + b_e, \qquad
    W_{ij} \sim N(0, s^2), \quad b_{ej} \sim N(0, s^2)$$

    Member $e$ is a dense layer with the weight $W \circ r_e s_e^\top$, which is never formed: a
    batch ensemble costs little more than one layer with as many rows. The vectors $r_e$ and
    $s_e$ are optimized, without a prior, and have different initial values. For vectors with a
    prior use `DenseRank1`, also for MCMC, which does not update optimized parameters.

    Inputs have the shape (e, \*batch, in), from `tile_members` or from the previous layer, and
    outputs (e, \*batch, out).

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        num_members: Number of members $E$.
        bias: Whether to add a bias, one for each member.
        prior_scale: Standard deviation $s$ of the priors, positive, or ``"fan_in"`` for
            $1/\sqrt{in}$.
        start: Initial values of $r$ and $s$: ``"signs"`` for -1 or 1 at random, or a positive
            number for ones plus normal noise with this standard deviation.
        name: Prefix of the sites; the default is ``"dense_batch_ensemble"``.

    Sites:
        ``weight`` of event shape (in, out); the parameters ``r`` (e, in) and ``s`` (e, out);
        ``bias`` of event shape (e, out), if `bias`.

    Raises:
        ValueError: If a size or a scale is not positive, if the first axis of the input is
            not `num_members` or its last axis not `in_features`, or if the layer is called
            twice in one model without `tie`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import tile_members
        >>> layer = DenseBatchEnsemble(3, 2, num_members=4, name="hidden")
        >>> seed(layer, 0)(tile_members(jnp.ones((5, 3)), 4)).shape
        (4, 5, 2)

    References:
        Wen, Tran, Ba (2020), "BatchEnsemble: an alternative approach to efficient ensemble
        and lifelong learning", ICLR, equations 1 and 5, and section 3.1.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    num_members: int = setting(check=_checks.size)
    bias: bool = setting(check=_checks.switch, default=True)
    prior_scale: PriorScale = setting(check=checked_scale, default=1.0)
    start: Start = setting(check=checked_start, default="signs")
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _factor(self, name: str, shape: tuple[int, int]) -> Site:
        return factor(name, shape, self.start)
