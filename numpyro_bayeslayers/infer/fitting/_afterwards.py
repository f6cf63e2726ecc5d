"""Steps after training: arrays computed from its result, and draws based on them."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array

from ..ensembles._svi import EnsembleSVI
from ..rows._arguments import Arguments
from ..training._member import Drawn, Member
from ._method import Problem


class Trained(NamedTuple):
    """A finished training run, possibly loaded from a file.

    Args:
        fit: Its cached programs.
        member: The definition of one member.
        parts: The data.
        problem: What was fitted.
    """

    fit: EnsembleSVI
    member: Member
    parts: Arguments
    problem: Problem

    def kept(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """The cached object for these programs, created on first use."""
        whole = (self.member, self.parts.frame, self.parts.num_rows, *key)
        return self.fit._predictor._compiled.get(whole, make)


class AbstractAfterwards(abc.ABC):
    """The interface of computations after training."""

    @abc.abstractmethod
    def shapes(self, trained: Trained, shapes: dict[str, Any]) -> dict[str, Any]:
        """Shapes of the computed arrays, members first, given those of the parameters."""

    @abc.abstractmethod
    def compute(self, trained: Trained, result: Any) -> dict[str, Array]:
        """The arrays, with members as the leading axis."""

    @abc.abstractmethod
    def drawn(self, trained: Trained) -> Drawn:
        """The model and guide for predictions and for importance weights."""
