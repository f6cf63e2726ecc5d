"""One prior draw of a regression layer, for tests."""

import jax
import numpy as np
from numpyro.handlers import seed, trace


def run(layer, *inputs, **options):
    """The output, the values by the site's last name, and the sites, of one prior draw.

    In double precision, so that formulas agree closely where large terms cancel.
    """
    with jax.enable_x64(True):
        sites = trace(seed(layer, 0)).get_trace("a", *inputs, **options)
        out = np.asarray(seed(layer, 0)("a", *inputs, **options))
    values = {name.removeprefix("a/"): np.asarray(s["value"]) for name, s in sites.items()}
    return out, values, sites


def log_prob(site):
    """The log density of a site's value, in double precision."""
    with jax.enable_x64(True):
        return float(site["fn"].log_prob(site["value"]))
