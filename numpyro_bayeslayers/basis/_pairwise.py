"""Products of the columns of two tables."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Num


def pairwise_interactions(
    x: Num[ArrayLike, "*batch d1"], z: Num[ArrayLike, "*batch d2"]
) -> Num[Array, "*batch d"]:
    r"""All products of a column of `x` and a column of `z`, $x \otimes z$ in each row.

    Args:
        x: Rows, (n, d1).
        z: Rows, (n, d2), as many.

    Returns:
        (n, d1 d2): $x_1 z_1, x_1 z_2, \dots, x_2 z_1, \dots$

    Raises:
        ValueError: If `x` and `z` differ in rows.

    Example:
        >>> import jax.numpy as jnp
        >>> pairwise_interactions(jnp.array([[1.0, 2.0]]), jnp.array([[5.0, 7.0]])).tolist()
        [[5.0, 7.0, 10.0, 14.0]]
    """
    x, z = jnp.asarray(x), jnp.asarray(z)
    if not x.ndim or x.shape[:-1] != z.shape[:-1]:
        raise ValueError(
            "`z` must have one row of columns for each row of `x`, got shapes "
            f"{z.shape} and {x.shape}."
        )
    products = x[..., :, None] * z[..., None, :]
    return products.reshape(x.shape[:-1] + (x.shape[-1] * z.shape[-1],))
