"""Likelihoods of implicit ensembles."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Num

from ... import _checks, primitives
from ...distributions import EnsembleMixture


def observe_members(
    name: str,
    members: dist.Distribution,
    y: Num[ArrayLike, "..."] | None = None,
    *,
    each: bool = True,
) -> Array:
    r"""Observe rows under the mixture of the members of an implicit ensemble.

    Draws, scores and predictions are those of the mixture. With `each`, the objective is the
    left side of

    $$\frac1E \sum_e \log p_e(y_i) \;\le\; \log \frac1E \sum_e p_e(y_i),$$

    so that each member is fitted to every row. Without it, the objective is the log density of
    the mixture, for which it is enough that one member explains a row: members then specialize
    on subsets of the rows, and a single member is not a valid prediction.

    Call it inside the plate of rows, and call the layers outside that plate.

    Args:
        name: Name of the observed site.
        members: Distributions of the rows under each member, batch shape (e, n).
        y: Observations of the rows, or None to draw them from the mixture.
        each: Whether each member is fitted to every row.

    Sites:
        ``{name}``, observed, an `EnsembleMixture`; with observations and `each` the factor
        ``{name}.each``, the difference of the two sides.

    Returns:
        The observations, or draws of them, (n,).

    Raises:
        TypeError: If `members` is not a distribution, or `name` is not a string.
        ValueError: If `members` has no axis of members.

    Example:
        >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
        >>> from numpyro.handlers import seed
        >>> def model(x, y=None):
        ...     f = jnp.stack([x, 2 * x])  # two members
        ...     with numpyro.plate("rows", len(x)):
        ...         return observe_members("y", dist.Normal(f, 0.1), y)
        >>> seed(model, 0)(jnp.ones(5)).shape
        (5,)

    References:
        Wen, Tran, Ba (2020), "BatchEnsemble", ICLR, section 3.1; Dusenberry et al. (2020),
        "Efficient and scalable Bayesian neural nets with rank-1 factors", ICML, section 3.
    """
    name, each = _checks.label("name", name), _checks.switch("each", each)
    mixture = EnsembleMixture(members)
    value = primitives.observe(name, mixture, None if y is None else jnp.asarray(y))
    if each and y is not None:
        mean = jnp.mean(jnp.asarray(members.log_prob(value)), axis=0)
        numpyro.factor(f"{name}.each", mean - mixture.log_prob(value))
    return value
