"""One prior draw of a regression layer, for tests."""

from typing import Any, NamedTuple

import jax
import numpy as np
import numpyro
from numpyro.handlers import seed, trace


class Drawn(NamedTuple):
    """What is known of a site after the draw."""

    type: str
    event_shape: tuple[int, ...] | None
    log_prob: float | None
    infer: dict[str, Any]


def run(layer, *inputs, **options):
    """The output, the values by the site's last name, and the sites, of one prior draw.

    In double precision, so that formulas agree closely where large terms cancel.
    """

    kept = {}

    def draw():
        with trace() as sites, seed(rng_seed=0):
            numpyro.deterministic("out", layer("a", *inputs, **options))
        kept.update(sites)
        drawn = [name for name, site in sites.items() if site["type"] == "sample"]
        log_probs = {
            name: sites[name]["fn"].log_prob(sites[name]["value"]) for name in drawn
        }
        return {name: site["value"] for name, site in sites.items()}, log_probs

    with jax.enable_x64(True):
        found, log_probs = jax.jit(draw)()
    values = {name.removeprefix("a."): np.asarray(v) for name, v in found.items()}
    sites = {name: _drawn(site, log_probs.get(name)) for name, site in kept.items()}
    del sites["out"]
    return values.pop("out"), values, sites


def _drawn(site, log_prob):
    if site["type"] != "sample":
        return Drawn(site["type"], None, None, {})
    return Drawn("sample", site["fn"].event_shape, float(log_prob), site["infer"])
