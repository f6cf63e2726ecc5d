"""Numbers mean what they meant where they were saved."""

import warnings

import jax
import pytest

from numpyro_bayeslayers._storage import _origin, check_origin, origin

pytestmark = pytest.mark.usefixtures("as_users_run")


def test_the_same_process_is_fine():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_origin("file", origin())


def test_other_versions_are_named_in_one_warning(monkeypatch):
    found = origin()
    found["versions"] |= {"jax": "0.4.30", "numpyro": "0.15.0"}
    with pytest.warns(
        UserWarning, match="saved with numpyro 0.15.0, here .*; jax 0.4.30"
    ) as w:
        check_origin("file", found)
    assert len(w) == 1


def test_the_last_number_of_a_version_does_not_matter(monkeypatch):
    found = origin()
    monkeypatch.setattr(_origin.importlib.metadata, "version", lambda name: "1.2.3")
    found["versions"] = dict.fromkeys(found["versions"], "1.2.10")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_origin("file", found)


@pytest.mark.parametrize("there", [True, False])
def test_another_precision_is_refused(there):
    before = jax.config.read("jax_enable_x64")
    found = origin() | {"x64": there}
    jax.config.update("jax_enable_x64", not there)
    try:
        with pytest.raises(
            ValueError, match=rf"jax.config.update\('jax_enable_x64', {there}"
        ):
            check_origin("file", found)
    finally:
        jax.config.update("jax_enable_x64", before)
