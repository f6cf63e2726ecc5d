"""Variances of normal targets of 100 dimensions by the microcanonical samplers.

    python benchmarks/studies/gaussians.py

writes docs/tables/gaussians.md: the target's directions are none of the coordinates'; 8 chains of
1,000 draws after 1,000 steps of warm-up; standard errors are those over chains.
"""

import sys
from pathlib import Path

import numpy as np
from tables import keep

sys.path.append(str(Path(__file__).parents[2]))

from numpyro_bayeslayers.infer import MCLMC, AdjustedMCLMC
from tests.infer.test_mclmc import of_gaussian

HEADER = (
    "Condition, kernel",
    "mean variance / true",
    "narrowest direction",
    "widest direction",
    "steps a draw",
)


def main():
    rows = []
    for condition in (1.0, 1e2, 1e4):
        for make in (MCLMC, AdjustedMCLMC):
            each, steps = of_gaussian(make, condition)
            square = each[:, 1]
            seen = np.stack([square.mean(-1), square[:, 0], square[:, -1]], -1)
            error = seen.std(0, ddof=1) / np.sqrt(len(seen))
            cells = (f"{a:.3f} ± {b:.3f}" for a, b in zip(seen.mean(0), error, strict=True))
            rows.append((f"{condition:g}, `{make.__name__}`", *cells, f"{steps:.0f}"))
            print(*rows[-1], flush=True)
    keep("gaussians", HEADER, rows)


if __name__ == "__main__":
    main()
