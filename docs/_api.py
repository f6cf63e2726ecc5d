"""Which page and which heading every public name of the package has."""

import functools
import importlib
import pkgutil
import re
from pathlib import Path

PACKAGE = "numpyro_bayeslayers"

# The pages of large rooms: a title, and the files or subpackages whose names it describes.
PAGES = {
    "infer": {
        "fit": ("Fit a model", ["fitting"]),
        "ensembles": ("Ensembles", ["ensembles"]),
        "training": ("While it trains", ["training"]),
        "models": (
            "Models and kernels",
            ["_effects", "_log_joint", "_mathematics", "_mclmc", "_reparam"],
        ),
    },
    "metrics": {
        "scores": (
            "Scores of numbers",
            ["_crps", "_crps_counts", "_density", "_joint", "_point", "_rows"],
        ),
        "intervals": (
            "Intervals and quantiles",
            ["_interval", "_pit", "_quantile", "_rank"],
        ),
        "classes": (
            "Classes and uncertainty",
            ["_classes", "_ranking", "_uncertainty"],
        ),
        "comparisons": ("Comparison and mending", ["_compare", "_recalibrate"]),
    },
    "layers.regression": {
        "coefficients": (
            "Regression: coefficients",
            [
                "_horseshoe",
                "_inclusion",
                "_linear",
                "_mixture",
                "_r2d2",
                "_spike_and_slab",
            ],
        ),
        "groups": (
            "Regression: groups and areas",
            [
                "_bym2",
                "_embedding",
                "_fixed_effects",
                "_multi_membership",
                "_slopes",
            ],
        ),
        "smooths": (
            "Regression: smooth and monotone effects",
            [
                "_gaussian_process",
                "_monotone",
                "_p_spline",
                "_spline",
                "_tensor_smooth",
            ],
        ),
        "times": (
            "Regression: effects over time",
            ["_autoregressive", "_random_walk", "_seasonal", "_state_space"],
        ),
        "interactions": (
            "Regression: interactions",
            ["_attention", "_bilinear", "_factorization", "_interaction"],
        ),
    },
    "layers.heads": {
        "links_of_numbers": (
            "Likelihoods (links): numbers",
            ["_angle", "_bounds", "_joint", "_location_scale", "_positive"],
        ),
        "links_of_counts": (
            "Likelihoods (links): classes, counts and shares",
            ["_categorical", "_count", "_ends", "_trials", "_zeros"],
        ),
    },
}


def rooms():
    """The public modules of the package."""
    folder = Path(__file__).parents[1] / PACKAGE
    found = pkgutil.iter_modules([str(folder)])
    return sorted(module.name for module in found if module.name[0] != "_")


@functools.cache
def families(room):
    """Title and public names of each page of a room; none for a room of one page."""
    if room == "layers":
        return _families_of_layers()
    return _divided(room, public_names(room)) if room in PAGES else {}


def public_names(room):
    """What a room exports."""
    module = _module(room)
    named = getattr(module, "__all__", None) or vars(module)
    home = PACKAGE if hasattr(module, "__path__") else module.__name__
    return sorted(
        name
        for name in named
        if name[0] != "_"
        and getattr(getattr(module, name), "__module__", "").startswith(home)
    )


@functools.cache
def places():
    """The address of each public name: a page of API and the anchor on it."""
    found = {}
    for room in rooms():
        pages = {
            name: f"api/{room}/{family}/"
            for family, (_, names) in families(room).items()
            for name in names
        }
        for name in public_names(room):
            page = pages.get(name, f"api/{room}/")
            found.setdefault(name, f"{page}#{PACKAGE}.{room}.{name}")
    return found


def _module(room):
    return importlib.import_module(f"{PACKAGE}.{room}")


def _families_of_layers():
    layers = _module("layers")
    names = sorted(
        m.name
        for m in pkgutil.iter_modules(layers.__path__)
        if m.name[0] != "_"
    )
    found = {"base": ("Base classes", ["AbstractLayer", "AbstractRowLayer"])}
    for name in names:
        room = _module(f"layers.{name}")
        public = sorted(set(vars(room)) & set(layers.__all__))
        if f"layers.{name}" in PAGES:
            found |= _divided(f"layers.{name}", public)
        else:
            found[name] = re.split("[:,.]", room.__doc__)[0], public
    return found


def _divided(room, names):
    pages = {page: (title, []) for page, (title, _) in PAGES[room].items()}
    page_of = {
        file: page for page, (_, files) in PAGES[room].items() for file in files
    }
    depth = len(f"{PACKAGE}.{room}".split("."))
    for name in names:
        file = getattr(_module(room), name).__module__.split(".")[depth]
        if file not in page_of:
            raise KeyError(
                f"say in docs/_api.py on which page {room}.{name} stands"
            )
        pages[page_of[file]][1].append(name)
    return pages
