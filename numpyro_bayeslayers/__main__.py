"""`python -m numpyro_bayeslayers` is the command `numpyro-bayeslayers`."""

import sys

from ._cli import main

if __name__ == "__main__":
    sys.exit(main())
