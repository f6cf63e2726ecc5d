"""Rows of a line, and settings with which an estimator of tables is fitted in a moment."""

import numpy as np

QUICK = {
    "hidden": (),
    "num_members": 2,
    "num_steps": 300,
    "learning_rate": 0.05,
    "prior_scale": 1.0,
    "random_state": 0,
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = 3.0 + X @ [2.0, -1.0] + RNG.normal(0, 0.5, 60)
NEW = RNG.normal(size=(60, 2))
