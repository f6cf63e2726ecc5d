"""Attention in an implicit ensemble."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Num

from ... import _checks
from ..._base import AbstractLayer, call_child
from ..._settings import setting
from ..dense._prior import PriorScale, checked_scale
from ._batch_ensemble import DenseBatchEnsemble, Start, checked_start
from ._members import check_members


class MultiHeadAttentionBatchEnsemble(AbstractLayer):
    r"""Multi-head attention whose four projections are batch ensembles.

    $$h_a = \mathrm{softmax}\Big(\frac{Q_a K_a^\top}{\sqrt{k}}\Big) V_a, \qquad
    y = [h_1, \dots, h_A]\, W^O_e, \quad
    Q = q\, W^Q_e,\ K = k\, W^K_e,\ V = v\, W^V_e$$

    where each $W_e = W \circ r_e s_e^\top$ is that of a `DenseBatchEnsemble`: members share the
    matrices, and have separate vectors and biases. Inputs have the shape (e, \*batch, tokens,
    in): tokens attend only to tokens of the same member and row. `MultiHeadAttentionBE` is an
    alias of this class.

    Args:
        num_heads: Number of heads $A$.
        in_features: Size of the last axis of queries, keys and values.
        num_members: Number of members $E$.
        out_features: Size of the last axis of the output; the default is `in_features`.
        head_features: Size $k$ of a head; the default is `in_features` / `num_heads`.
        bias: Whether the projections have a bias.
        prior_scale: Standard deviation of the priors of weights and biases, positive, or
            ``"fan_in"`` for one over the square root of the inputs of each projection.
        start: Initial values of the members' vectors, as in `DenseBatchEnsemble`.
        name: Prefix of the sites; the default is
            ``"multi_head_attention_batch_ensemble"``.

    Sites:
        ``query``, ``key``, ``value`` and ``output``, each with the sites ``weight``, ``r``,
        ``s`` and ``bias`` of a `DenseBatchEnsemble`: ``query.weight``.

    Raises:
        ValueError: If a size or scale is not positive, if `in_features` is not a multiple of
            `num_heads` and `head_features` is not given, or if the first axis of an input is
            not that of the members.
        TypeError: If a size is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import tile_members
        >>> layer = MultiHeadAttentionBatchEnsemble(2, 6, num_members=4, name="mix")
        >>> tokens = tile_members(jnp.ones((5, 7, 6)), 4)  # of 5 rows, 7 tokens each
        >>> seed(layer, 0)(tokens).shape
        (4, 5, 7, 6)

    References:
        Vaswani et al. (2017), "Attention is all you need", NeurIPS, section 3.2.2; Wen,
        Tran, Ba (2020), "BatchEnsemble", ICLR, section 4.2 (a Transformer of them).
    """

    num_heads: int = setting(check=_checks.size)
    in_features: int = setting(check=_checks.size)
    num_members: int = setting(check=_checks.size)
    out_features: int | None = setting(check=_checks.optional(_checks.size), default=None)
    head_features: int | None = setting(check=_checks.optional(_checks.size), default=None)
    bias: bool = setting(check=_checks.switch, default=True)
    prior_scale: PriorScale = setting(check=checked_scale, default="fan_in")
    start: Start = setting(check=checked_start, default="signs")
    name: str | None = setting(check=_checks.optional_label, default=None)

    def __check_init__(self) -> None:
        if self.head_features is None and self.in_features % self.num_heads:
            raise ValueError(
                f"`in_features` must be a multiple of `num_heads`={self.num_heads}, got "
                f"{self.in_features}. Otherwise give `head_features`, the size of a head."
            )

    def _forward(
        self,
        query: Num[ArrayLike, "*batch t d_in"],
        keys: Num[ArrayLike, "*batch u d_in"] | None = None,
        values: Num[ArrayLike, "*batch u d_in"] | None = None,
        mask: Bool[ArrayLike, "*masked t u"] | None = None,
    ) -> Float[Array, "*rest t d_out"]:
        """Attend from `query` to `keys`, which are `query` itself unless given.

        Args:
            query: Queries, (e, *batch, t, in).
            keys: Keys, (e, *batch, u, in); the queries if not given.
            values: Values, in the shape of the keys; the keys if not given.
            mask: Whether a query may attend to a key: (t, u), or with more axes on the left,
                which broadcast against those of members and rows.
        """
        query = self._checked("query", query)
        keys = query if keys is None else self._checked("keys", keys)
        values = keys if values is None else self._checked("values", values)
        q, k, v = (
            self._heads(self._project(name, x))
            for name, x in (("query", query), ("key", keys), ("value", values))
        )
        scores = jnp.einsum("...tak,...uak->...atu", q, k) / math.sqrt(q.shape[-1])
        if mask is not None:
            visible = jnp.asarray(mask)[..., None, :, :]
            scores = jnp.where(visible, scores, jnp.finfo(scores.dtype).min)
        mixed = jnp.einsum("...atu,...uak->...tak", jax.nn.softmax(scores, axis=-1), v)
        return self._project(
            "output", mixed.reshape(mixed.shape[:-2] + (math.prod(mixed.shape[-2:]),))
        )

    def _checked(self, name: str, x: Num[ArrayLike, "*batch d_in"]) -> Array:
        x = _checks.array(name, x)
        _checks.last_axis(name, x, "in_features", self.in_features)
        check_members(x, self.num_members, name)
        return x

    def _project(
        self, name: str, x: Num[ArrayLike, "*batch d_in"]
    ) -> Num[Array, "*rest d_out"]:
        inner = self.num_heads * (self.head_features or self.in_features // self.num_heads)
        is_output = name == "output"
        sizes = (self.in_features, inner)
        if is_output:
            sizes = (inner, self.out_features or self.in_features)
        options = self.bias, self.prior_scale, self.start
        return call_child(name, DenseBatchEnsemble(*sizes, self.num_members, *options), x)

    def _heads(self, x: Num[Array, "*batch d"]) -> Num[Array, "*batch a k"]:
        return x.reshape(x.shape[:-1] + (self.num_heads, x.shape[-1] // self.num_heads))


MultiHeadAttentionBE = MultiHeadAttentionBatchEnsemble
