"""A user's file is checked against our types."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import numpyro_bayeslayers

PACKAGE = Path(numpyro_bayeslayers.__file__).parent
TY = Path(sys.executable).parent / "ty"

GOOD = """
from typing import assert_type

import jax
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers import metrics, registry
from numpyro_bayeslayers.distributions import Horseshoe
from numpyro_bayeslayers.handlers import ensemble, flipout
from numpyro_bayeslayers.infer import VI, EnsembleSVI, Fit, fit
from numpyro_bayeslayers.layers import DenseFlipout, DenseReparameterization, gaussian_link


def model(x: jax.Array, y: jax.Array | None = None) -> None:
    hidden = DenseFlipout(3, 8, name="hidden")
    assert_type(hidden.in_features, int)
    f = DenseReparameterization(8, 1, name="out")(jax.nn.relu(hidden(x)))
    assert_type(f, jax.Array)
    numpyro.sample("scale", Horseshoe(1.0))
    gaussian_link(f, y)


def use(x: jax.Array, y: jax.Array) -> None:
    members = EnsembleSVI(flipout(model), AutoNormal, optax.adam(0.1), num_members=3)
    result = members.run(0, 10, x, y)
    assert_type(members.predict(0, result, x, num_samples=3), dict[str, jax.Array])
    found = fit(ensemble(model, 3), y=y, method=VI(), x=x)
    assert_type(found, Fit)
    assert_type(found.draws(), dict[str, jax.Array])
    assert_type(registry.available("layers"), list[str])
"""

# With the rule that a line breaks.
BAD = """
import optax
from numpyro.infer.autoguide import AutoNormal

from numpyro_bayeslayers.infer import EnsembleSVI, fit
from numpyro_bayeslayers.layers import DenseReparameterization, Dnse  # import-not-found

layer = DenseReparameterization("3", 1)  # invalid-argument-type
layer.in_feature  # missing-attribute
DenseReparameterization(3, 1, nam="f")  # unknown-argument
members = EnsembleSVI(layer, AutoNormal, optax.adam(0.1), num_members="3")  # invalid-argument-type
members.run(0)  # missing-argument
fit(layer).sumary()  # missing-attribute
"""


def check(file, text):
    """What the checker finds in a file of this text: lines and the rules that they break."""
    if not TY.exists():
        pytest.skip("ty, of the extra `test`, is not installed")
    file.write_text(text)
    # Ours first: an editable installation may be of another folder.
    options = ["--python", sys.prefix, "--extra-search-path", PACKAGE.parent]
    done = subprocess.run(
        [TY, "check", "--output-format=concise", *options, file],
        cwd=file.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr  # nothing found, or something
    found = re.findall(r"^\S+:(\d+):\d+: \w+\[(.*?)\]", done.stdout, re.MULTILINE)
    assert bool(found) == done.returncode, done.stdout
    return {(int(line), rule) for line, rule in found}


def test_users_file_passes(tmp_path):
    assert check(tmp_path / "user.py", GOOD) == set()


def test_mistakes_of_a_user_are_found(tmp_path):
    lines = enumerate(BAD.splitlines(), start=1)
    expected = {(n, line.split("  # ")[1]) for n, line in lines if "  # " in line}
    assert len(expected) == 7
    assert check(tmp_path / "user.py", BAD) == expected


def test_package_says_that_it_is_typed():
    """PEP 561: without the marker, checkers pass over what a package declares."""
    assert (PACKAGE / "py.typed").exists()
