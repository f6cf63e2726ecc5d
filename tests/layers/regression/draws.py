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

    def model():
        numpyro.deterministic("out", layer("a", *inputs, **options))

    with jax.enable_x64(True):
        sites = trace(seed(model, 0)).get_trace()
        values = {name: np.asarray(site["value"]) for name, site in sites.items()}
        drawn = {name: _drawn(site) for name, site in sites.items() if name != "out"}
    out = values.pop("out")
    return out, {name.removeprefix("a."): v for name, v in values.items()}, drawn


def _drawn(site):
    if site["type"] != "sample":
        return Drawn(site["type"], None, None, {})
    log_prob = float(site["fn"].log_prob(site["value"]))
    return Drawn("sample", site["fn"].event_shape, log_prob, site["infer"])
