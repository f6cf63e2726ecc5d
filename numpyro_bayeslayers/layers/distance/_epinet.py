"""Networks whose output depends on a random index, for joint predictions."""

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, ArrayLike, Float, Num, UInt32

from ... import _checks
from ..._base import AbstractLayer, call_child, on_rows
from ..._settings import setting
from ..._typing import PRNGKey
from ...primitives import plate_shape, prng_key
from ..dense._prior import PriorScale, checked_scale
from ..dense._reparameterization import DenseReparameterization
from ._prior_function import PriorFunction


class EpinetLayer(AbstractLayer):
    r"""An epinet, which adds epistemic uncertainty to the output of a network.

    $$e(x, z) = \big(g_\eta(x, z) + \beta\, g_{\eta_0}(x, z)\big)\, z, \qquad
    z \sim N(0, I_Z)$$

    where $g$ is a small network whose output is a matrix (out, Z). The index $z$ is drawn once
    for all rows of a call, so that each draw is a function, and predictions of several rows are
    joint. The network $g_{\eta_0}$ is fixed at a draw from the prior. Its output varies with
    the index everywhere; training makes the sum agree across indices where there are data. One
    network thus replaces an ensemble with one member for each index.

    Its input is the concatenation of the network's inputs and last hidden units. No gradient
    passes through them, so the network is trained by its own output only:
    ``f = out(h) + epinet(jnp.concatenate([x, h], -1))``.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        index_dim: Size $Z$ of the index.
        hidden_features: Width of the network $g$.
        depth: Number of hidden layers of $g$.
        scale: The factor $\beta$ of the fixed network, zero or positive.
        prior_scale: Standard deviation of the weights' priors, positive, or ``"fan_in"``.
        prior_key: The data of the random key that draws the fixed network; see `init`.
        name: Prefix of the sites; the default is ``"epinet_layer"``.

    Sites:
        ``net.hidden_0.weight`` (in + Z, hidden), ..., ``net.out.weight`` (hidden, out * Z),
        each with a ``bias``. Neither the index nor the fixed network is a site.

    Returns:
        The term to add to the network's output, (n, out). The layer is called with the input
        and, optionally, with an index (Z,); otherwise each call draws an index, separately for
        each cell of enclosing plates.

    Raises:
        ValueError: If a setting is out of range, if the input's last axis is not `in_features`,
            if the index has the wrong size, or if there is no random key.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> epinet = EpinetLayer.init(3, 2, index_dim=4, key=jax.random.key(0), name="e")
        >>> seed(epinet, 0)(jnp.ones((5, 3))).shape
        (5, 2)

    References:
        Osband, Wen, Asghari, Dwaracherla, Ibrahimi, Lu, Van Roy (2023), "Epistemic neural
        networks", NeurIPS, equations 5 and 6.
    """

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    prior_key: UInt32[Array, "..."]
    index_dim: int = setting(check=_checks.size, default=8)
    hidden_features: int = setting(check=_checks.size, default=15)
    depth: int = setting(check=_checks.count, default=2)
    scale: float = setting(check=_checks.non_negative, default=1.0)
    prior_scale: PriorScale = setting(check=checked_scale, default="fan_in")
    name: str | None = setting(check=_checks.optional_label, default=None)

    @classmethod
    def init(
        cls,
        in_features: int,
        out_features: int,
        index_dim: int = 8,
        hidden_features: int = 15,
        depth: int = 2,
        scale: float = 1.0,
        prior_scale: PriorScale = "fan_in",
        *,
        key: PRNGKey,
        name: str | None = None,
    ) -> "EpinetLayer":
        """Create the layer, with its fixed network drawn with the random `key`.

        Args:
            in_features: See the class.
            out_features: See the class.
            index_dim: See the class.
            hidden_features: See the class.
            depth: See the class.
            scale: See the class.
            prior_scale: See the class.
            key: A random key.
            name: See the class.
        """
        data = random.key_data(_checks.random_key("key", key))
        sizes = (index_dim, hidden_features, depth)
        return cls(in_features, out_features, data, *sizes, scale, prior_scale, name)

    def _forward(
        self,
        x: Num[ArrayLike, "*batch d_in"],
        index: Float[ArrayLike, "*plates z"] | None = None,
    ) -> Float[Array, "*rest d_out"]:
        if index is None:
            key = prng_key("The index of an EpinetLayer")
            index = random.normal(key, (*plate_shape(), self.index_dim))
        z = jnp.asarray(index)
        _checks.last_axis("index", z, "index_dim", self.index_dim)
        net = _IndexedNetwork(
            self.in_features + self.index_dim,
            self.out_features,
            self.index_dim,
            self.hidden_features,
            self.depth,
            self.prior_scale,
            "net",
        )
        both = PriorFunction(net, self.scale, self.prior_key)

        def rows(x: Num[Array, "*plates n d_in"]) -> Float[Array, "*rest n d_out"]:
            own = z[..., None, :]
            lead = jnp.broadcast_shapes(x.shape[:-1], own.shape[:-1])
            wide = [jnp.broadcast_to(a, (*lead, a.shape[-1])) for a in (x, own)]
            inputs = lax.stop_gradient(jnp.concatenate(wide, -1))
            return jnp.sum(both._forward(inputs) * own[..., None, :], -1)

        return on_rows(rows, x, self.in_features)


class _IndexedNetwork(AbstractLayer):
    """Map rows, concatenated with the index, to a matrix (out, index) for each."""

    in_features: int = setting(check=_checks.size)
    out_features: int = setting(check=_checks.size)
    index_dim: int = setting(check=_checks.size)
    hidden_features: int = setting(check=_checks.size)
    depth: int = setting(check=_checks.count)
    prior_scale: PriorScale = setting(check=checked_scale)
    name: str | None = setting(check=_checks.optional_label, default=None)

    def _forward(self, x: Float[Array, "*plates n d_in"]) -> Float[Array, "*rest n out z"]:
        size = self.in_features
        for i in range(self.depth):
            x = jax.nn.relu(self._dense(f"hidden_{i}", size, self.hidden_features, x))
            size = self.hidden_features
        out = self._dense("out", size, self.out_features * self.index_dim, x)
        return out.reshape((*out.shape[:-1], self.out_features, self.index_dim))

    def _dense(self, name: str, d_in: int, d_out: int, x: Array) -> Array:
        layer = DenseReparameterization(d_in, d_out, True, self.prior_scale)
        return call_child(name, layer, x)
