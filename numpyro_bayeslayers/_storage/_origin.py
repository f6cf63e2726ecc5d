"""Where a file comes from: the versions that wrote it, and the precision of its numbers."""

import importlib.metadata
import warnings
from typing import Any

import jax

_PACKAGES = ("numpyro-bayeslayers", "numpyro", "jax")


def origin() -> dict[str, Any]:
    """What is noted of this process."""
    versions = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"versions": versions, "x64": bool(jax.config.read("jax_enable_x64"))}


def check_origin(path: Any, found: dict[str, Any], *, stacklevel: int = 3) -> None:
    """Numbers of a file mean here what they meant there.

    Args:
        path: The file.
        found: What `origin` gave when it was written.
        stacklevel: Of the warning.

    Warns:
        UserWarning: If packages have other versions (beyond the last number).

    Raises:
        ValueError: If JAX has another precision here.
    """
    here = origin()
    if found["x64"] != here["x64"]:
        raise ValueError(
            f"The file {str(path)!r} was saved with jax_enable_x64={found['x64']}, and this "
            f"process has {here['x64']}: its numbers would be others. Call "
            f"`jax.config.update('jax_enable_x64', {found['x64']})` first."
        )
    pairs = [
        f"{name} {then}, here {here['versions'][name]}"
        for name, then in found["versions"].items()
        if _series(then) != _series(here["versions"].get(name, ""))
    ]
    if pairs:
        warnings.warn(
            f"The file {str(path)!r} was saved with {'; '.join(pairs)}. What was learned is the "
            "same; draws of a seed may differ.",
            stacklevel=stacklevel,
        )


def _series(version: str) -> list[str]:
    return version.split(".")[:2]
