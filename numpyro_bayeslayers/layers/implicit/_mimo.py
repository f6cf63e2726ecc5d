"""Multi-input multi-output ensembles."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, ArrayLike, Num

from ... import _checks
from ..._settings import setting
from ..._typing import PRNGKey


class MIMO(eqx.Module):
    r"""An ensemble within one network that takes one input, and makes one prediction, per member.

    $$[f_1, \dots, f_E] = \text{network}([x_1, \dots, x_E])$$

    In training the inputs come from different rows, so that each member learns to use its own
    input; in prediction all inputs are the same row, and the members' predictions are mixed.
    The network has `num_members` times the inputs and outputs of a network for single rows, and
    learns how members share its weights. It is any layer or function from (n, e * in) to (n, e
    * out).

    A plain module without sites; the sites of the network are unchanged.

    Args:
        num_members: Number of members $E$.

    Raises:
        ValueError: If `num_members` is not positive, or if the input has no axis of members.
        TypeError: If `num_members` is not an integer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.handlers import seed
        >>> from numpyro_bayeslayers.layers import DenseReparameterization
        >>> mimo = MIMO(num_members=2)
        >>> x, y = jnp.ones((5, 3)), jnp.zeros(5)
        >>> x_train, y_train = mimo.group(x, y, key=jax.random.key(0))
        >>> x_train.shape, y_train.shape
        ((5, 2, 3), (5, 2))
        >>> network = DenseReparameterization(2 * 3, 2 * 1, name="f")
        >>> seed(mimo, 0)(network, x_train).shape
        (2, 5, 1)
        >>> seed(mimo, 0)(network, mimo.group(x)).shape  # for predictions
        (2, 5, 1)

    References:
        Havasi et al. (2021), "Training independent subnetworks for robust prediction", ICLR,
        section 2; section 4.2 on repetition.
    """

    num_members: int = setting(check=_checks.size)

    def __call__(
        self, network: Callable[[Array], Array], x: Num[ArrayLike, "*batch e d_in"]
    ) -> Num[Array, "*rest d_out"]:
        """The network's predictions, (e, n, out), for the inputs (n, e, in) of `group`.

        Args:
            network: A function from (n, e * in) to (n, e * out), such as a layer.
            x: Inputs, grouped with one for each member.
        """
        _checks.function("network", network)
        x = _checks.array("x", x)
        members = self.num_members
        if x.ndim < 3 or x.shape[-2] != members:
            raise ValueError(
                f"`x` must have the shape (rows, {members}, features), one input for each of "
                f"the {members} members (`num_members`), got shape {x.shape}. "
                "`MIMO.group` makes it: group(x) for predictions."
            )
        out = network(x.reshape(x.shape[:-2] + (members * x.shape[-1],)))
        if out.shape[-1] % members:
            raise ValueError(
                f"`network` must have a multiple of {members} outputs, as many for each "
                f"member (`num_members`={members}), got shape {out.shape}."
            )
        parts = out.reshape(out.shape[:-1] + (members, out.shape[-1] // members))
        return jnp.moveaxis(parts, -2, -3)

    def group(
        self,
        *arrays: Num[ArrayLike, "n *_"],
        key: PRNGKey | None = None,
        share: float = 0.0,
    ) -> Any:
        r"""Assign a row to each member: arrays (n, \*rest) become (n, e, \*rest).

        With a key, each member gets all rows in a separate random order, the same in all
        arrays; the groups are new rows, which can be split into minibatches. Without a key, as
        for predictions, all members get the same row.

        Args:
            arrays: Inputs and observations, all with the same number of rows.
            key: Random key of the orders.
            share: Fraction of groups in which all members get the same row, from 0 to 1; larger
                values make members more similar.

        Returns:
            The array, or a tuple of them if there are several.

        Raises:
            ValueError: If arrays differ in length, or `share` is not from 0 to 1.
        """
        share = _checks.fraction("share", share)
        rows = _checks.same_length(**{f"arrays[{i}]": a for i, a in enumerate(arrays)})
        if key is None:
            grouped = tuple(self._repeated(jnp.asarray(a)) for a in arrays)
        else:
            words = random.bits(_checks.random_key("key", key), (4,))
            rng = np.random.default_rng(np.asarray(words))
            common = rng.permutation(rows)
            at = rows - round(share * rows)
            moved = [rng.permutation(common[:at]) for _ in range(self.num_members)]
            chosen = np.stack([np.append(order, common[at:]) for order in moved], axis=1)
            grouped = tuple(jnp.asarray(a)[chosen] for a in arrays)
        return grouped[0] if len(grouped) == 1 else grouped

    def _repeated(self, x: Array) -> Array:
        return jnp.broadcast_to(x[:, None], (len(x), self.num_members, *x.shape[1:]))
