"""Regression layers: terms that are called by name."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from numpyro_bayeslayers import layers
from numpyro_bayeslayers.layers import AbstractLayer

from .case import Case, X

CATEGORIES = 4
# Three areas in a row and an island.
MAP = ((0, 1, 0, 0), (1, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0, 0))
Z = 0.5 - X[:, :2]


class Named(AbstractLayer):
    """A layer with one regression layer inside: the laws' way to call, arrays alone.

    An input of one axis is a row here (it is a column to the layer): it goes in as a table
    of one row and its output comes out without the rows' axis.
    """

    layer: Any
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    prepare: Callable[..., Any] = eqx.field(static=True)
    name: str | None = eqx.field(static=True)

    def _forward(self, *inputs):
        is_row = inputs[0].ndim == 1
        tables = tuple(x[None] for x in inputs) if is_row else inputs
        out = self.layer("term", *self.prepare(*tables), **dict(self.options))
        return out[..., 0, :] if is_row else out


def tables(*inputs):
    return inputs


def categories(x):
    """A category for each row, from real numbers: zero from zeros."""
    return ((1.7 * jnp.abs(x[..., 0])).astype(int) % CATEGORIES,)


def grouped(x):
    return x[..., :2], *categories(x)


def members(x):
    """Two categories for each row, with weights."""
    own = categories(x)[0]
    return jnp.stack([own, (own + 1) % CATEGORIES], -1), jnp.square(x[..., :2])


def two_columns(x):
    return (jnp.tanh(x[..., :2]),)


def times(x):
    return (x[..., 0],)


def first_column(x):
    return (x[..., :1],)


def case(layer, inputs=(X,), prepare=tables, **options):
    return Case(lambda n: Named(layer, tuple(options.items()), prepare, n), inputs)


class Broadcast(eqx.Module):
    """The intercept, which knows no rows, against rows."""

    layer: Any

    def __call__(self, name, x, units):
        return self.layer(name, units=units) + 0.0 * x[..., :1]


LAYERS = {
    "AR1Layer": case(layers.AR1Layer(), prepare=categories, num_times=CATEGORIES, units=2),
    "AdaptiveLayer": case(layers.AdaptiveLayer(), units=2),
    "FixedPriorLayer": case(layers.FixedPriorLayer(), units=2, activation=jnp.tanh),
    "InterceptLayer": case(Broadcast(layers.InterceptLayer()), units=2),
    "FMLayer": case(layers.FMLayer(), low_rank_dim=2, units=2),
    "FM3Layer": case(layers.FM3Layer(centered=True), low_rank_dim=2),
    "LowRankInteractionLayer": case(
        layers.LowRankInteractionLayer(), (X, Z), low_rank_dim=3, units=2
    ),
    "InteractionLayer": case(layers.InteractionLayer(), (X, Z), units=2),
    "BilinearLayer": case(layers.BilinearLayer(), (X, Z), units=2),
    "LowRankBilinearLayer": case(
        layers.LowRankBilinearLayer(centered=0.5), (X, Z), low_rank_dim=3
    ),
    "EmbeddingLayer": case(
        layers.EmbeddingLayer(),
        prepare=categories,
        num_categories=CATEGORIES,
        embedding_dim=2,
    ),
    "RandomEffectsLayer": case(
        layers.RandomEffectsLayer(centered=True),
        prepare=categories,
        num_categories=CATEGORIES,
    ),
    "RandomSlopesLayer": case(
        layers.RandomSlopesLayer(correlated=True),
        prepare=grouped,
        num_categories=CATEGORIES,
        units=2,
    ),
    "FixedEffectsLayer": case(
        layers.FixedEffectsLayer(contrast="sum"),
        prepare=categories,
        num_categories=CATEGORIES,
        units=2,
    ),
    "RandomWalkLayer": case(
        layers.RandomWalkLayer(), prepare=categories, num_categories=CATEGORIES
    ),
    "SplineLayer": case(
        layers.SplineLayer(),
        prepare=first_column,
        knots=(-1.0, -1.0, -1.0, 0.2, 1.0, 1.0, 1.0),
        degree=2,
        units=2,
    ),
    "PSplineLayer": case(
        layers.PSplineLayer(centered=0.5),
        prepare=first_column,
        knots=(-1.0, -1.0, -1.0, 0.2, 0.6, 1.0, 1.0, 1.0),
        degree=2,
        units=2,
    ),
    "BYM2Layer": case(layers.BYM2Layer(MAP, centered=0.5), prepare=categories, units=2),
    "LocalTrendLayer": case(
        layers.LocalTrendLayer(), prepare=categories, num_times=CATEGORIES, units=2
    ),
    "SeasonalStateLayer": case(
        layers.SeasonalStateLayer(3), prepare=categories, num_times=CATEGORIES, units=2
    ),
    "TensorSmoothLayer": case(
        layers.TensorSmoothLayer(centered=0.5),
        prepare=two_columns,
        num_basis=3,
        degree=1,
        units=2,
    ),
    "MixtureLayer": case(
        layers.MixtureLayer((dist.Normal(0.0, 0.1), dist.Normal(0.0, 1.0))), units=2
    ),
    "MultiMembershipLayer": case(
        layers.MultiMembershipLayer(),
        prepare=members,
        num_categories=CATEGORIES,
        units=2,
    ),
    "HorseshoeInteractionLayer": case(
        layers.HorseshoeInteractionLayer(slab_scale=2.0), units=2
    ),
    "HorseshoeLayer": case(layers.HorseshoeLayer(slab_scale=2.0), units=2),
    "R2D2Layer": case(layers.R2D2Layer(), units=2),
    "SpikeAndSlabLayer": case(layers.SpikeAndSlabLayer(), units=2),
    "AttentionLayer": case(layers.AttentionLayer(), head_dim=2, num_heads=2, units=2),
    "MonotoneLayer": case(
        layers.MonotoneLayer(), prepare=categories, num_categories=CATEGORIES, units=2
    ),
    "SeasonalEffectsLayer": case(
        layers.SeasonalEffectsLayer(), prepare=times, period=2.5, num_harmonics=2, units=2
    ),
    "GaussianProcessEffectsLayer": case(
        layers.GaussianProcessEffectsLayer(num_basis=3),
        prepare=categories,
        num_categories=CATEGORIES,
        units=2,
    ),
}

# Plain modules: no sites, so the laws of layers do not speak of them.
MODULES: dict[str, Case] = {}
