"""The origin of a file: the package versions and the floating-point precision."""

import importlib.metadata
import warnings
from typing import Any

import jax

_PACKAGES = ("numpyro-bayeslayers", "numpyro", "jax")


def origin() -> dict[str, Any]:
    """The versions and precision of this process."""
    versions = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"versions": versions, "x64": bool(jax.config.read("jax_enable_x64"))}


def check_origin(path: Any, found: dict[str, Any], *, stacklevel: int = 3) -> None:
    """Check that the versions and precision of a file match this process.

    Args:
        path: The file.
        found: The result of `origin` when the file was written.
        stacklevel: The stack level of the warning.

    Warns:
        UserWarning: If package versions differ (apart from the patch number).

    Raises:
        ValueError: If JAX's precision setting differs.
    """
    here = origin()
    if found["x64"] != here["x64"]:
        raise ValueError(
            f"The file {str(path)!r} was saved with jax_enable_x64={found['x64']}, but this "
            f"process has {here['x64']}, so its numbers would differ. Call "
            f"`jax.config.update('jax_enable_x64', {found['x64']})` first."
        )
    pairs = [
        f"{name} {then}, here {here['versions'][name]}"
        for name, then in found["versions"].items()
        if _series(then) != _series(here["versions"].get(name, ""))
    ]
    if pairs:
        warnings.warn(
            f"The file {str(path)!r} was saved with {'; '.join(pairs)}. The parameters are the "
            "same, but draws for a given seed may differ.",
            stacklevel=stacklevel,
        )


def _series(version: str) -> list[str]:
    return version.split(".")[:2]
