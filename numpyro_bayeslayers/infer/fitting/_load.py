"""Loading of saved fits."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ..._storage import check_origin, read_file, unpack
from ..._storage._file import Arrays
from ..._threads import ALONE
from ..._typing import Model
from ...preprocessing import Schema
from ._data import Data, bind, check_takes_y, sites_of, without_gaps
from ._described import NotKept, restored_method
from ._described_sites import described_sites, how_they_differ
from ._fitted import Fit
from ._known_methods import METHODS
from ._method import Problem, checked_guide
from ._saved import KIND, Found, finder
from ._tables import reader_of

_OTHER_MODEL = (
    "`model` is not the one that was fitted: {how}. Hand over the model as it was when "
    "{path!r} was saved."
)


def load(
    path: str | Path,
    model: Model,
    *,
    guide: Any = None,
    constants: Mapping[str, Any] | None = None,
) -> Fit:
    """Load a fit that `Fit.save` wrote; its predictions are identical bit for bit.

    The file contains no code: the model must be passed again, unchanged. Its sites are compared
    with those of the saved fit: their shapes, the families of their distributions, and the
    parameters of these distributions that do not depend on other sites, such as the constants
    of priors. What was learned from the data (columns, levels, codes) is restored from the
    file.

    The loaded fit is complete with two exceptions. The final state of the optimizer or sampler
    is not saved (``found.result.state`` is None; ``found.result.mcmc`` can be read but not
    continued). Options of the method that are not data, such as an optimizer object, are stored
    by name only.

    Args:
        path: The file.
        model: The model that was fitted.
        guide: The fitted guide, if it was a function or an object. Guides given by name,
            classes of NumPyro and `functools.partial` of these are stored in the file.
        constants: The constants of the fit that are not data (functions, modules), by name.

    Raises:
        FileNotFoundError: If the file does not exist.
        TypeError: If an argument has the wrong type.
        ValueError: If the file is damaged, is not a saved fit, or was written by a later
            version or in another precision; if the model or the guide differs from the fitted
            one; or if a guide or constant that the file does not hold is missing.

    Warns:
        UserWarning: If the fit was saved with another version of JAX, NumPyro or this package,
            so that the same seed may give different draws.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> from numpyro_bayeslayers.infer import fit
        >>> from numpyro_bayeslayers.layers import AdaptiveLayer, gaussian_link
        >>> def model(x, y=None):
        ...     return gaussian_link(AdaptiveLayer()("slope", x), y)
        >>> x = jnp.linspace(-1, 1, 20)
        >>> found = fit(model, y=2 * x, x=x, num_steps=10, progress_bar=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found.save(f"{folder}/slope.fit")
        ...     again = load(f"{folder}/slope.fit", model)
        >>> bool((again.predict(x=x).samples == found.predict(x=x).samples).all())
        True
    """
    with ALONE:
        reader = reader_of(model)
        model = model if reader is None else reader.program
        check_takes_y(model)
        header, arrays = read_file(path, KIND)
        check_origin(path, header, stacklevel=3)
        schema = Schema.from_json(header["schema"])
        rows = jax.tree.map(jnp.asarray, unpack(header["rows"], arrays))
        fixed = _constants(str(path), header["constants"], constants, arrays)
        data = Data(rows, fixed, schema.num_rows, schema)
        run, in_parts = header["run"], header["run"]["batch_size"] is not None
        sites = sites_of(bind(model, data), data)
        model, sites = without_gaps(run["missing"], model, data, sites, in_parts=in_parts)
        here = described_sites(bind(model, data), data)
        if how := how_they_differ(header["sites"], here):
            raise ValueError(_OTHER_MODEL.format(how=how, path=str(path)))
        kind = METHODS[header["method"]["name"]]
        method = restored_method(kind, header["method"]["options"], arrays)
        if guide is not None:
            object.__setattr__(method, "guide", checked_guide("guide", guide))
        key = unpack(header["key"], arrays)
        found = finder(Found(header, arrays), kind)
        problem = Problem(
            model, data, sites, **run, key=key, progress_bar=False, reader=reader
        )
        engine = _engine(str(path), kind, method)
        return Fit(problem, method, engine._run(problem._replace(found=found)))


def _constants(
    path: str, packed: dict[str, Any], given: Mapping[str, Any] | None, arrays: Arrays
) -> dict[str, Any]:
    """The constants of the fit, from the file or as passed by the caller."""
    is_kept = {n: not (isinstance(v, dict) and "not kept" in v) for n, v in packed.items()}
    given = dict(given or {})
    for name in given:
        if is_kept.get(name, True):
            why = "the file holds it" if name in packed else "the fit had none of this name"
            raise ValueError(f"`constants` must not have {name!r}: {why}. Leave it out.")
    missing = [name for name, kept in is_kept.items() if not kept and name not in given]
    if missing:
        name, kind = missing[0], packed[missing[0]]["not kept"]
        raise ValueError(
            f"`constants` must have {name!r}, of type {kind}: it is no data, and {path!r} does "
            f"not hold it. Call `load(path, model, constants={{{name!r}: ...}})`."
        )
    return {n: given[n] if n in given else unpack(v, arrays) for n, v in packed.items()}


def _engine(path: str, kind: Any, method: Any) -> Any:
    """The method, with those of its options that predictions need."""
    lengths = {"num_warmup", "num_samples", "num_chains"}
    wanted = {"guide", "num_members", "num_particles", "centering"} | lengths
    wanted |= getattr(kind, "drawn_by", frozenset())
    given = {option.name for option in dataclasses.fields(kind) if option.init}
    names = wanted & given
    options = {name: getattr(method, name) for name in names}
    if isinstance(options.get("guide"), NotKept):
        raise ValueError(
            f"`guide` must be given: that of the fit is of type {options['guide'].kind}, and "
            f"{path!r} does not hold it. Call `load(path, model, guide=...)`."
        )
    if "loss" in given and not isinstance(method.loss, NotKept):
        options["loss"] = method.loss  # diagnostics look at it
    return kind(**options)
