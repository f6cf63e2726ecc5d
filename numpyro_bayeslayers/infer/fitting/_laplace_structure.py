r"""Normal approximations by their curvature: whole, its diagonal, by products, of low rank.

Each is a linear map of standard normal draws, $u = \hat u + S \epsilon$ with
$S S^T = \Lambda^{-1}$, kept as arrays:

| structure | arrays | $S \epsilon$ |
|---|---|---|
| full | `scale_tril` | $L \epsilon$ |
| diag | `scale` | $s \circ \epsilon$ |
| kron | `scale`, `<site>.in`, `<site>.out` | $Q_A (s \circ \epsilon) Q_G^T$ by site |
| low_rank | `scale`, `basis`, `shrinkage` | $s \circ (\epsilon + V (r \circ V^T \epsilon))$ |
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array
from numpyro.distributions.util import cholesky_of_inverse

from ._gauss_newton import Curvature, Tap

STRUCTURES = "full", "diag", "kron", "low_rank"

# Columns beyond the rank, and products, by which the leading directions are found.
_SPARE, _ROUNDS = 10, 6
# The logarithms between which the factor of the prior's precision is found, by halving.
_LOW, _HIGH, _HALVINGS = -20.0, 20.0, 60


class Block(NamedTuple):
    """A site whose curvature is a product of two matrices.

    Args:
        tap: The product that the site is in.
        where: Its entries among those that are chosen.
        is_weight: Whether it is the weight, (in, out), or the bias, (out,).
    """

    tap: Tap
    where: np.ndarray
    is_weight: bool


class Approximation(NamedTuple):
    """What was found.

    Args:
        arrays: See above; all zero if the curvature is not positive.
        log_det: The log determinant of the curvature.
        factor: What the prior's precision was multiplied by.
    """

    arrays: dict[str, Array]
    log_det: Array
    factor: Array


def approximated(
    structure: str, curvature: Curvature, rank: int, blocks: dict[str, Block], far: Any
) -> Approximation:
    """The approximation of one structure.

    Args:
        structure: One of `STRUCTURES`.
        curvature: The curvature.
        rank: The directions of "low_rank".
        blocks: The sites of "kron" that are products.
        far: The squared distance of the mode from the mean of a normal prior, by which the
            marginal likelihood finds the factor of its precision; None to leave it at one.
    """
    if structure == "full":
        return _full(curvature, far)
    prior = curvature.prior_diagonal()
    if structure == "low_rank":
        return _low_rank(curvature, prior, rank, far)
    if structure == "kron":
        return _kron(curvature, prior, blocks, far)
    return _scaled(curvature.diagonal(jnp.arange(len(prior))), prior, far)


def _full(curvature: Curvature, far: Any) -> Approximation:
    prior = curvature.prior()
    data = curvature.products(jnp.eye(len(prior)))
    data, prior = 0.5 * (data + data.T), 0.5 * (prior + prior.T)
    ratios = None
    if far is not None:
        root = jnp.diagonal(prior) ** -0.5
        ratios = jnp.linalg.eigvalsh(root[:, None] * data * root)
    factor = _factor(ratios, far)
    scale_tril = cholesky_of_inverse(data + factor * prior)
    log_det = -2 * jnp.sum(jnp.log(jnp.diagonal(scale_tril)))
    is_good = jnp.isfinite(scale_tril).all()
    return Approximation(
        {"scale_tril": jnp.where(is_good, scale_tril, 0.0)}, log_det, factor
    )


def _scaled(data: Array, prior: Array, far: Any, **bases: Array) -> Approximation:
    """By eigenvalues of the two parts in one basis."""
    factor = _factor(data / prior, far)
    precision = data + factor * prior
    is_good = (precision > 0).all()
    scale = jnp.where(is_good, jnp.maximum(precision, 1e-30) ** -0.5, 0.0)
    log_det = jnp.sum(jnp.log(precision))
    return Approximation({"scale": scale, **bases}, log_det, factor)


def _low_rank(curvature: Curvature, prior: Array, rank: int, far: Any) -> Approximation:
    size = len(prior)
    root = jnp.abs(prior) ** -0.5
    whitened = lambda columns: (
        root[:, None] * curvature.products((root[:, None] * columns).T).T
    )
    width = min(size, rank + _SPARE)
    columns = random.normal(random.key(0), (size, width))
    for _ in range(_ROUNDS):
        columns = jnp.linalg.qr(whitened(columns))[0]
    small = columns.T @ whitened(columns)
    values, vectors = jnp.linalg.eigh(0.5 * (small + small.T))
    values = jnp.maximum(values[::-1], 0.0)[:rank]
    basis = (columns @ vectors[:, ::-1])[:, :rank]
    rest = jnp.zeros(size - len(values))
    factor = _factor(jnp.concatenate([values, rest]), far)
    is_good = (prior > 0).all()
    scale = jnp.where(is_good, root * factor**-0.5, 0.0)
    shrinkage = (1 + values / factor) ** -0.5 - 1
    log_det = jnp.sum(jnp.log(prior * factor)) + jnp.sum(jnp.log1p(values / factor))
    arrays = {"scale": scale, "basis": basis, "shrinkage": shrinkage}
    return Approximation(arrays, log_det, factor)


def _kron(
    curvature: Curvature, prior: Array, blocks: dict[str, Block], far: Any
) -> Approximation:
    found = curvature.factors({b.tap.weight: b.tap for b in blocks.values()})
    data, bases = jnp.zeros(len(prior)), {}
    is_left = np.ones(len(prior), bool)
    for name, block in blocks.items():
        inputs, outputs = found[block.tap.weight]
        out_values, out_basis = jnp.linalg.eigh(outputs)
        values = jnp.maximum(out_values, 0.0)
        bases[f"{name}.out"] = out_basis
        if block.is_weight:
            in_values, in_basis = jnp.linalg.eigh(inputs)
            in_values = jnp.maximum(in_values, 0.0)
            values = (in_values[:, None] * values / block.tap.shape[0]).ravel()
            bases[f"{name}.in"] = in_basis
        data = data.at[block.where].set(values)
        # One prior for all entries, as they are mixed: usually it is.
        prior = prior.at[block.where].set(prior[block.where].mean())
        is_left[block.where] = False
    left = np.flatnonzero(is_left)
    if len(left):
        data = data.at[left].set(curvature.diagonal(jnp.asarray(left)))
    return _scaled(data, prior, far, **bases)


def _factor(ratios: Any, far: Any) -> Array:
    r"""The factor $\tau$ of the prior's precision at which the evidence is highest.

    $$\tau\, q = \sum_i \lambda_i / (\lambda_i + \tau)$$

    with the eigenvalues $\lambda$ of the data's part in units of the prior's, and the squared
    distance $q$ of the mode from the prior's mean.
    """
    if far is None:
        return jnp.ones(())
    ratios = jnp.maximum(ratios, 0.0)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        at = 0.5 * (low + high)
        is_above = jnp.exp(at) * far > jnp.sum(ratios / (ratios + jnp.exp(at)))
        return jnp.where(is_above, low, at), jnp.where(is_above, at, high)

    ends = jnp.asarray(_LOW), jnp.asarray(_HIGH)
    return jnp.exp(jax.lax.fori_loop(0, _HALVINGS, halve, ends)[0])


def scaled_draw(
    arrays: dict[str, Any], blocks: dict[str, Block], draw: Array
) -> tuple[Array, Array]:
    """The linear map of a standard normal draw, and the log of its determinant."""
    if "scale_tril" in arrays:
        lower = arrays["scale_tril"]
        return lower @ draw, jnp.sum(jnp.log(jnp.abs(jnp.diagonal(lower))))
    scale = arrays["scale"]
    log_det = jnp.sum(jnp.log(scale))
    if "basis" in arrays:
        basis, shrinkage = arrays["basis"], arrays["shrinkage"]
        within = basis @ (shrinkage * (basis.T @ draw))
        return scale * (draw + within), log_det + jnp.sum(jnp.log1p(shrinkage))
    out = scale * draw
    for name, block in blocks.items():
        own, basis = out[block.where], arrays[f"{name}.out"]
        if block.is_weight:
            own = arrays[f"{name}.in"] @ own.reshape(-1, basis.shape[0])
        out = out.at[block.where].set((own @ basis.T).ravel())
    return out, log_det
