"""What a method does after a training: arrays that are computed then, and draws by them."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array

from ..ensembles._svi import EnsembleSVI
from ..training._arguments import Arguments
from ..training._member import Drawn, Member
from ._method import Problem


class Trained(NamedTuple):
    """A training that has ended, or was read from a file.

    Args:
        fit: Its programs, which are kept.
        member: What one member does.
        parts: The data.
        problem: What was fitted.
    """

    fit: EnsembleSVI
    member: Member
    parts: Arguments
    problem: Problem

    def kept(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """What was made for these programs before, or is made now."""
        whole = (self.member, self.parts.frame, self.parts.num_rows, *key)
        return self.fit._predictor._compiled.get(whole, make)


class AbstractAfterwards(abc.ABC):
    """What comes after a training."""

    @abc.abstractmethod
    def shapes(self, trained: Trained, shapes: dict[str, Any]) -> dict[str, Any]:
        """The shapes of what is computed, led by members, given those of the parameters."""

    @abc.abstractmethod
    def compute(self, trained: Trained, result: Any) -> dict[str, Array]:
        """Arrays led by members."""

    @abc.abstractmethod
    def drawn(self, trained: Trained) -> Drawn:
        """What draws predictions, and is weighed against its posterior."""
