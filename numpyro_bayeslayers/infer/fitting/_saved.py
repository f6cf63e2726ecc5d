"""Conversion of a fit to and from the header and arrays of a file."""

from pathlib import Path
from typing import Any

from numpyro.infer.mcmc import MCMCKernel

from ..._storage import Kind, NotDataError, origin, pack, unpack, unpack_leaves, write_file
from ..._storage._file import Arrays
from ..._storage._tree import pack_leaves
from ..._typing import Model
from ..ensembles._centering import own_sites
from ..ensembles._chains import Length, mcmc_of
from ..ensembles._functions import EnsembleResult
from ..ensembles._mcmc import EnsembleMCMCResult
from ..ensembles._saved import pack_validation, unpack_validation
from ..training._state import EnsembleSVIState
from ._chain_figures import smaller_steps
from ._data import bind
from ._described import described_method
from ._described_sites import described_sites
from ._known_methods import METHODS, Method
from ._method import Posterior, Problem
from ._stein import Stein, StepResult

KIND = Kind("a fit", "numpyro_bayeslayers.infer.load(path, model)")


def write_fit(
    path: str | Path, problem: Problem, method: Method, posterior: Posterior
) -> None:
    """See `Fit.save`."""
    arrays: Arrays = {}
    data, result = problem.data, posterior.result
    name = next(name for name, kind in METHODS.items() if kind is type(method))
    header = {
        **origin(),
        "schema": data.schema.to_json(),
        "rows": pack("rows", data.rows, arrays),
        "constants": {n: _constant(n, v, arrays) for n, v in data.constants.items()},
        "sites": described_sites(bind(problem.model, data), data),
        "run": {n: getattr(problem, n) for n in ("batch_size", "num_steps", "missing")},
        "key": pack("key", problem.key, arrays),
        "method": {"name": name, "options": described_method(method, arrays)},
    }
    if posterior.samples is None:
        header["params"] = pack_leaves("params", result.params, arrays)
        header["losses"] = pack("losses", result.losses, arrays)
        kept = getattr(result.state, "mutable_state", None)
        header["mutable"] = pack("mutable", kept, arrays)
        seen = getattr(result, "validation", None)
        header["validation"] = pack_validation(seen, arrays)
    else:
        header["chains"] = _chains(result, arrays)
        header["centering"] = pack("centering", result.centering, arrays)
        header["falls"] = pack("falls", result.falls, arrays)
    write_file(path, KIND, header, arrays)


def _constant(name: str, value: Any, arrays: Arrays) -> Any:
    try:
        return pack(f"constants/{name}", value, arrays)
    except NotDataError as error:
        return {"not kept": error.kind}


def _chains(result: EnsembleMCMCResult, arrays: Arrays) -> dict[str, Any]:
    """The sampler's collected statistics, as far as they are data."""
    mcmc: Any = result.mcmc
    fields: dict[str, Any] = {}
    for name, value in mcmc._states.items():
        try:
            fields[name] = pack(f"chains/{name}", value, arrays)
        except NotDataError:
            continue
    length = mcmc.num_warmup, mcmc.num_samples, mcmc.num_chains
    depth = getattr(mcmc.sampler, "_max_tree_depth", None)
    depth = list(depth) if isinstance(depth, tuple) else depth
    own = {"samples": mcmc.sampler.sample_field, "depth": depth}
    own["smaller"] = smaller_steps(mcmc.sampler)
    return {**own, "length": length, "fields": fields}


class Found:
    """The saved result of a method.

    Args:
        header: The header of the file.
        arrays: Its arrays.
    """

    def __init__(self, header: dict[str, Any], arrays: Arrays) -> None:
        self._header = header
        self._arrays = arrays

    def by_steps(self, shapes: Any) -> EnsembleResult:
        """The result of training: parameters of these shapes, and the losses.

        Raises:
            ValueError: If the parameters in the file have other names or shapes.
        """
        packed = self._header["params"]
        params = unpack_leaves("params", packed, self._arrays, shapes)
        losses = unpack(self._header["losses"], self._arrays)
        kept = unpack(self._header["mutable"], self._arrays)
        state = None if kept is None else EnsembleSVIState(None, kept, None)
        seen = unpack_validation(self._header, self._arrays)
        return EnsembleResult(params, losses, state, seen)

    def by_particles(self, shapes: Any) -> StepResult:
        """The result of moving particles."""
        return StepResult(*self.by_steps(shapes))

    def by_chains(self, problem: Problem, model: Model) -> EnsembleMCMCResult:
        """The draws of chains."""
        chains = self._header["chains"]
        fields = {n: unpack(v, self._arrays) for n, v in chains["fields"].items()}
        kernel, length = _Read(model, chains["samples"]), Length(*chains["length"])
        depth = chains["depth"]
        kernel._max_tree_depth = tuple(depth) if isinstance(depth, list) else depth
        kernel.smaller_steps = chains.get("smaller", "")
        mcmc = mcmc_of(kernel, length, (), problem.data.rows, fields)
        samples = own_sites(mcmc.get_samples(group_by_chain=True))
        read = lambda name: (
            self._header.get(name) and unpack(self._header[name], self._arrays)
        )
        return EnsembleMCMCResult(samples, mcmc, read("centering"), read("falls"))


def finder(found: Found, kind: type) -> Any:
    """The function that replaces running a method of this kind."""
    by_chains = [METHODS[name] for name in ("mcmc", "sampled_ensemble", "sgmcmc")]
    ways = {**dict.fromkeys(by_chains, found.by_chains), Stein: found.by_particles}
    return ways.get(kind, found.by_steps)


class _Read(MCMCKernel):
    """The kernel of chains loaded from a file, which knows its model and cannot continue."""

    def __init__(self, model: Model, sample_field: str) -> None:
        self._model = model
        self._field = sample_field
        self._max_tree_depth: Any = None
        self.smaller_steps = ""

    @property
    def model(self) -> Model:
        return self._model

    @property
    def sample_field(self) -> str:
        return self._field

    def init(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "These chains were read from a file, which does not hold where they stood: they "
            "cannot go on. Fit anew."
        )

    def sample(self, *args: Any) -> Any:
        return self.init()
