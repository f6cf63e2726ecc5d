"""Members that use different features of one network."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, ArrayLike, Bool, Float

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey
from ._members import check_members


def checked_overlap(name: str, value: Any) -> float:
    """A number of at least one."""
    value = _checks.finite(name, value)
    if value < 1.0:
        raise ValueError(f"`{name}` must be at least 1 (equal masks), got {value}.")
    return value


class Masksembles(eqx.Module):
    r"""Mask features with a fixed mask for each member.

    $$y_{e} = x_e \circ m_e, \qquad m_{ei} \in \{0, 1\}, \quad \sum_i m_{ei} = k$$

    This is intermediate between dropout, which draws new masks in each call, and an ensemble,
    whose members share nothing. Masks are drawn once, when the module is constructed. All masks
    have the same number of ones, and each feature is in at least one mask. Masks drawn at
    random from $k s$ positions use $k s\,(1 - (1 - 1/s)^E)$ of them; $k$ is such that this is
    the number of features $d$, so that two masks share about $k / s$ features, a fraction
    $1 / (2s - 1)$ of those in either. At $s = 1$ all masks are full; for large $s$ they are
    disjoint.

    A plain module without sites, between layers whose inputs lead with the members:
    (e, \*batch, in).

    Args:
        num_members: Number of members $E$.
        scale: Dissimilarity $s$ of the masks, at least 1.
        in_features: Size of the last axis of the input, $d$.
        key: Random key of the masks.

    Raises:
        ValueError: If a size is not positive, if `scale` is below 1, if the first axis of
            the input is not `num_members` or its last axis not `in_features`.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> masks = Masksembles(4, 2.0, 15, key=jax.random.key(0))
        >>> masks.masks.sum(-1).tolist()
        [8, 8, 8, 8]
        >>> masks(jnp.ones((4, 5, 15))).shape
        (4, 5, 15)

    References:
        Durasov, Bagautdinov, Baque, Fua (2021), "Masksembles for uncertainty estimation",
        CVPR, section 3.2 and its appendix.
    """

    num_members: int = setting(check=_checks.size)
    scale: float = setting(check=checked_overlap)
    in_features: int = setting(check=_checks.size)
    masks: Bool[Array, "e d_in"]

    def __init__(
        self, num_members: int, scale: float, in_features: int, *, key: PRNGKey
    ) -> None:
        self.num_members = _checks.size("num_members", num_members)
        self.scale = checked_overlap("scale", scale)
        self.in_features = _checks.size("in_features", in_features)
        with (
            jax.ensure_compile_time_eval()
        ):  # a model may construct the layer while it is traced
            words = random.bits(_checks.random_key("key", key), (4,))
        self.masks = jnp.asarray(self._drawn(np.random.default_rng(np.asarray(words))))

    @property
    def num_ones(self) -> int:
        """Number of features $k$ that each member keeps."""
        members, features = self.num_members, self.in_features
        used = self.scale * (1.0 - (1.0 - 1.0 / self.scale) ** members)
        return max(round(features / used), -(-features // members))

    def _drawn(self, rng: np.random.Generator) -> Bool[np.ndarray, "e d_in"]:
        shape = (self.num_members, self.in_features)
        masks = np.argsort(rng.random(shape), axis=1) < self.num_ones
        # A feature in no mask replaces one that is in several.
        for feature in rng.permutation(np.flatnonzero(~masks.any(0))):
            several = np.argwhere(masks & (masks.sum(0) > 1))
            member, other = several[rng.integers(len(several))]
            masks[member, [other, feature]] = False, True
        return masks

    def __call__(self, x: Float[ArrayLike, "*batch d_in"]) -> Float[Array, "*batch d_in"]:
        """The features of each member, with masked features set to zero."""
        x = _checks.array("x", x)
        _checks.last_axis("x", x, "in_features", self.in_features)
        lead = check_members(x, self.num_members)
        between = (1,) * (x.ndim - len(lead) - 2)
        masks = self.masks.reshape((self.num_members, *between, self.in_features))
        return jnp.where(masks, x, jnp.zeros_like(x))
