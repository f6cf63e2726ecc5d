"""A fit read from a file."""

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
    """Read a fit that `Fit.save` wrote; it predicts as it did, to the last bit.

    A file holds no code: the model is handed over again, as it was. Its sites are compared
    with those that were fitted, their shapes, the families of their distributions, and those
    parameters of these that no draw decides: the numbers of priors, say. What was learned
    from the data (columns, levels, codes) is that of the fit.

    The result is whole but for two things. The state in which the optimizer or the sampler
    ended is not in the file (``found.result.state`` is None, ``found.result.mcmc`` can be
    read and not go on). And options of the method that are no data (an optimizer that is an
    object, say) are only named.

    Args:
        path: The file.
        model: The model that was fitted.
        guide: The guide that was fitted, if it was a function or an object. Guides by name,
            classes of NumPyro and `functools.partial` of these are in the file.
        constants: Those constants of the fit that are no data (functions, modules), by name.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If an argument has the wrong type.
        ValueError: If the file is damaged, no fit, of a later version or of another
            precision, if the model or the guide is another one, or something must be given.

    Warns:
        UserWarning: If JAX, NumPyro or this package had another version, after which a seed
            may give other draws.

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
    """The constants of the fit, from the file or as they are given again."""
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
    """The method with what predictions need of its options."""
    lengths = {"num_warmup", "num_samples", "num_chains"}
    wanted = {"guide", "num_members", "num_particles"} | lengths
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
