"""A small table that the tests of formulas share."""

import numpy as np
import pandas as pd

N = 12


def table():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=N), rng.uniform(0.5, 3.0, N)
    g = np.array(["a", "b", "c"])[np.arange(N) % 3]
    h = np.array(["no", "yes"])[(np.arange(N) // 3) % 2]
    count = rng.poisson(3.0, N)
    y = 5.0 + 2 * x + rng.normal(size=N)
    return pd.DataFrame(
        {
            "y": y,
            "end": np.where(x > 0, y, np.inf),
            "positive": np.exp(0.3 * x + 0.2 * rng.normal(size=N)),
            "share": rng.beta(4.0, 3.0, N),
            "x": x,
            "z": z,
            "g": g,
            "h": h,
            "shop": np.arange(N) % 4 + 101,
            "count": count,
            "trials": count + 2,
            "days": rng.integers(1, 9, N),
            "grade": np.arange(N) % 3,
        }
    )
