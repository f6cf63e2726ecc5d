"""Where members, rows and all else are, over the devices of one process or of several."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from ... import _checks, _processes
from ._arguments import Arguments
from ._jit import is_dynamic

#: The axis of a mesh that members are laid out over.
MEMBERS = "ensemble"

_AXES = "`mesh` must have {wanted}, got {given}. Make it with jax.make_mesh({example})."
_DIVIDES = (
    "`num_members` must be a multiple of the {size} devices of `mesh`{along}, got {given}."
)
_NO_MESH = "`data_axis` is an axis of `mesh`, and there is none. Give both."
_SOME = (
    "`mesh` must have devices of one process, or of all {count}, got those of {given}. Make it "
    "of `jax.devices()`."
)
_ROWS = (
    "With `data_axis`, the number of rows must be a multiple of the {size} parts that they are "
    "split into, got {given}. Leave out {rest}, or take a mesh that divides it; minibatches of "
    "any size go."
)
_SHARE = (
    "With `run_batches`, the rows of a batch are those of all processes together, and the devices "
    "of this one hold {held} of {size} parts of them, with {count} processes. Let the rows go "
    "over the processes: `jax.make_mesh((rows, members), ({axis!r}, 'ensemble'))`, with `rows` a "
    "multiple of {count}."
)


class Layout(NamedTuple):
    """A mesh of devices, and what goes along its axes; without a mesh, all stays as it is.

    Args:
        mesh: The devices.
        data_axis: The axis that rows are split over; None if each device has all rows.
    """

    mesh: Mesh | None = None
    data_axis: str | None = None

    @classmethod
    def checked(cls, mesh: Any, data_axis: Any, num_members: int) -> "Layout":
        """The layout of so many members.

        Raises:
            TypeError: If `mesh` is no mesh.
            ValueError: If it has other axes, or as many devices as do not divide the members.
        """
        if mesh is None:
            if data_axis is not None:
                raise ValueError(_NO_MESH)
            return cls()
        _checks.instance("mesh", mesh, Mesh, "a mesh of devices (`jax.make_mesh`)")
        wanted = {MEMBERS} if data_axis is None else {MEMBERS, data_axis}
        if set(mesh.axis_names) != wanted or data_axis == MEMBERS:
            axes, example = "the one axis 'ensemble'", "(devices,), ('ensemble',)"
            if data_axis is not None:
                axes = f"the axes 'ensemble' and {data_axis!r} (`data_axis`)"
                example = f"(rows, members), ({data_axis!r}, 'ensemble')"
            given = mesh.axis_names
            raise ValueError(_AXES.format(wanted=axes, given=given, example=example))
        size = mesh.shape[MEMBERS]
        if num_members % size:
            along = "" if data_axis is None else " along 'ensemble'"
            raise ValueError(_DIVIDES.format(size=size, along=along, given=num_members))
        found, count = _processes.processes_of(mesh), jax.process_count()
        if len(found) not in (1, count):
            raise ValueError(_SOME.format(count=count, given=sorted(found)))
        # Without axis types: the compiler places what is computed, as the data asks for.
        return cls(Mesh(mesh.devices, mesh.axis_names), data_axis)

    @property
    def is_shared(self) -> bool:
        """Whether several processes share the work."""
        return self.mesh is not None and len(_processes.processes_of(self.mesh)) > 1

    def members(self, tree: PyTree) -> PyTree:
        """Arrays that lead with the members, each where its members are."""
        return self._put(tree, PartitionSpec(MEMBERS))

    def along(self, tree: PyTree) -> PyTree:
        """Arrays whose second axis is that of the members."""
        return self._put(tree, PartitionSpec(None, MEMBERS))

    def all_over(self, tree: PyTree) -> PyTree:
        """Arrays that every device has whole."""
        return self._put(tree, PartitionSpec())

    def rows(self, tree: PyTree) -> PyTree:
        """Arrays of rows, each where its rows are.

        Raises:
            ValueError: If they cannot be split evenly.
        """
        if self.data_axis is not None and self.mesh is not None:
            size = self.mesh.shape[self.data_axis]
            for x in jax.tree.leaves(tree):
                if x.shape[0] % size:
                    rest = x.shape[0] % size
                    raise ValueError(_ROWS.format(size=size, given=x.shape[0], rest=rest))
        return self._put(tree, PartitionSpec(self.data_axis))

    def some_rows(self, tree: PyTree) -> PyTree:
        """Rows of a prediction: split if that can be done evenly, with every device else."""
        if self.data_axis is None or self.mesh is None:
            return tree
        size = self.mesh.shape[self.data_axis]
        is_even = all(x.shape[0] % size == 0 for x in jax.tree.leaves(tree))
        return self.rows(tree) if is_even else self.all_over(tree)

    def data(self, parts: Arguments) -> Arguments:
        """The arguments of a model: rows split or with all, the rest with all."""
        rows, shared = self.rows(parts.rows), self.all_over(parts.shared)
        return parts._replace(rows=rows, shared=shared)

    def _put(self, tree: PyTree, spec: PartitionSpec) -> PyTree:
        if self.mesh is None:
            return tree
        sharding = NamedSharding(self.mesh, spec)
        return jax.tree.map(lambda x: _put_one(x, sharding), tree)

    def keep(self, tree: PyTree) -> PyTree:
        """Within a program: arrays that lead with the members stay where those are."""
        return self._bound(tree, PartitionSpec(MEMBERS))

    def keep_led(self, tree: PyTree, size: int) -> PyTree:
        """Within a program: of a state, the arrays that lead with so many members."""
        leads = lambda x: is_dynamic(x) and x.shape[:1] == (size,)
        return jax.tree.map(lambda x: self.keep(x) if leads(x) else x, tree)

    def keep_whole(self, tree: PyTree) -> PyTree:
        """Within a program: every device has the arrays whole."""
        return self._bound(tree, PartitionSpec())

    def keep_along(self, tree: PyTree) -> PyTree:
        """Within a program: arrays whose second axis is that of the members."""
        return self._bound(tree, PartitionSpec(None, MEMBERS))

    def split(self, tree: PyTree) -> PyTree:
        """Within a program: rows are worked on where they are to be."""
        return self._bound(tree, PartitionSpec(self.data_axis)) if self.data_axis else tree

    def _bound(self, tree: PyTree, spec: PartitionSpec) -> PyTree:
        if self.mesh is None:
            return tree
        sharding = NamedSharding(self.mesh, spec)
        one = lambda x: lax.with_sharding_constraint(x, sharding)
        return jax.tree.map(lambda x: one(x) if is_dynamic(x) else x, tree)

    def batch(self, parts: Arguments) -> Arguments:
        """A batch of all processes, of which each gives its share of the rows.

        Raises:
            ValueError: If the rows of a process are not with its own devices.
        """
        if not self.is_shared or self.data_axis is None or self.mesh is None:
            return self.data(parts)
        sharding = NamedSharding(self.mesh, PartitionSpec(self.data_axis))
        size, count = self.mesh.shape[self.data_axis], jax.process_count()
        starts = sharding.addressable_devices_indices_map((size,)).values()
        held = len({index[0].start or 0 for index in starts if index is not None})
        if held * count != size:
            raise ValueError(
                _SHARE.format(held=held, size=size, count=count, axis=self.data_axis)
            )
        if parts.num_rows is not None and parts.num_rows % held:
            given, rest = parts.num_rows, parts.num_rows % held
            raise ValueError(_ROWS.format(size=held, given=given, rest=rest))
        one = lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x))
        rows = [None if x is None else one(x) for x in parts.rows]
        return parts._replace(rows=rows, shared=self.all_over(parts.shared))


#: All on the device where JAX puts it.
HERE = Layout()


def placed_like(tree: PyTree, like: PyTree) -> PyTree:
    """Arrays where those of another tree of the same structure are, if that is on a mesh."""

    def one(x: Any, twin: Any) -> Any:
        is_spread = isinstance(twin, jax.Array) and isinstance(twin.sharding, NamedSharding)
        return _put_one(x, twin.sharding) if is_spread else x

    return jax.tree.map(one, tree, like)


def _put_one(x: Any, sharding: NamedSharding) -> Any:
    if not is_dynamic(x):
        return x
    if isinstance(x, jax.Array):
        if x.sharding == sharding:
            return x
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            words = _put_one(jax.random.key_data(x), sharding)
            return jax.random.wrap_key_data(words, impl=jax.random.key_impl(x))
    is_far = isinstance(x, jax.Array) and not x.is_fully_addressable
    if is_far or sharding.is_fully_addressable:
        return jax.device_put(x, sharding)
    # Onto devices of other processes each puts what is for its own.
    host = np.asarray(x)
    return jax.make_array_from_callback(host.shape, sharding, lambda at: host[at])
