"""The placement of members, rows and other arrays on the devices of one or more processes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from ... import _checks, _processes
from ..compilation._jit import is_dynamic
from ._arguments import Arguments

#: The axis of a mesh over which members are distributed.
MEMBERS = "ensemble"

_AXES = "`mesh` must have {wanted}, got {given}. Make it with jax.make_mesh({example})."
_DIVIDES = (
    "`num_members` must be a multiple of the {size} devices of `mesh`{along}, got {given}."
)
_NO_MESH = "`data_axis` names an axis of `mesh`, but `mesh` is not given. Give both."
_SOME = (
    "`mesh` must have devices of one process or of all {count}, got those of {given}. Build it "
    "from `jax.devices()`."
)
_ROWS = (
    "With `data_axis`, the number of rows must be a multiple of the {size} parts into which "
    "they are split, got {given}. Leave out {rest}, or use a mesh that divides it; minibatches "
    "may have any size."
)
_SHARE = (
    "With `run_batches`, the rows of a batch are those of all {count} processes together, but "
    "the devices of this process hold {held} of {size} parts. Split the rows over the "
    "processes: `jax.make_mesh((rows, members), ({axis!r}, 'ensemble'))`, with `rows` a "
    "multiple of {count}."
)


class Layout(NamedTuple):
    """A mesh of devices and the use of its axes; without a mesh, nothing is moved.

    Args:
        mesh: The devices.
        data_axis: The axis over which rows are split; None if each device has all rows.
    """

    mesh: Mesh | None = None
    data_axis: str | None = None

    @classmethod
    def checked(cls, mesh: Any, data_axis: Any, num_members: int) -> "Layout":
        """The layout for a number of members.

        Raises:
            TypeError: If `mesh` is not a mesh.
            ValueError: If its axes differ, or its number of devices does not divide the
                members.
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
        # Without explicit axis types: the compiler places results according to the data.
        return cls(Mesh(mesh.devices, mesh.axis_names), data_axis)

    @property
    def is_shared(self) -> bool:
        """Whether the run is distributed over several processes."""
        return self.mesh is not None and len(_processes.processes_of(self.mesh)) > 1

    def members(self, tree: PyTree) -> PyTree:
        """Place arrays with a leading axis of members on the devices of the members."""
        return self._put(tree, PartitionSpec(MEMBERS))

    def along(self, tree: PyTree) -> PyTree:
        """Place arrays whose second axis is that of the members."""
        return self._put(tree, PartitionSpec(None, MEMBERS))

    def all_over(self, tree: PyTree) -> PyTree:
        """Replicate arrays on every device."""
        return self._put(tree, PartitionSpec())

    def rows(self, tree: PyTree) -> PyTree:
        """Place row arrays, split over the data axis.

        Raises:
            ValueError: If rows cannot be split evenly.
        """
        if self.data_axis is not None and self.mesh is not None:
            size = self.mesh.shape[self.data_axis]
            for x in jax.tree.leaves(tree):
                if x.shape[0] % size:
                    rest = x.shape[0] % size
                    raise ValueError(_ROWS.format(size=size, given=x.shape[0], rest=rest))
        return self._put(tree, PartitionSpec(self.data_axis))

    def some_rows(self, tree: PyTree) -> PyTree:
        """Place the rows of a prediction: split if possible evenly, otherwise replicated."""
        if self.data_axis is None or self.mesh is None:
            return tree
        size = self.mesh.shape[self.data_axis]
        is_even = all(x.shape[0] % size == 0 for x in jax.tree.leaves(tree))
        return self.rows(tree) if is_even else self.all_over(tree)

    def data(self, parts: Arguments) -> Arguments:
        """Place the arguments of a model: rows split or replicated, the rest replicated."""
        rows, shared = self.rows(parts.rows), self.all_over(parts.shared)
        return parts._replace(rows=rows, shared=shared)

    def _put(self, tree: PyTree, spec: PartitionSpec) -> PyTree:
        if self.mesh is None:
            return tree
        sharding = NamedSharding(self.mesh, spec)
        return jax.tree.map(lambda x: _put_one(x, sharding), tree)

    def keep(self, tree: PyTree) -> PyTree:
        """Inside a program: keep arrays with a leading axis of members on the members' devices."""
        return self._bound(tree, PartitionSpec(MEMBERS))

    def keep_led(self, tree: PyTree, size: int) -> PyTree:
        """Inside a program: the same for those arrays of a state that have an axis of members."""
        leads = lambda x: is_dynamic(x) and x.shape[:1] == (size,)
        return jax.tree.map(lambda x: self.keep(x) if leads(x) else x, tree)

    def keep_whole(self, tree: PyTree) -> PyTree:
        """Inside a program: keep arrays replicated."""
        return self._bound(tree, PartitionSpec())

    def keep_along(self, tree: PyTree) -> PyTree:
        """Inside a program: the same for arrays whose second axis is that of the members."""
        return self._bound(tree, PartitionSpec(None, MEMBERS))

    def split(self, tree: PyTree) -> PyTree:
        """Inside a program: split row arrays over the data axis."""
        return self._bound(tree, PartitionSpec(self.data_axis)) if self.data_axis else tree

    def _bound(self, tree: PyTree, spec: PartitionSpec) -> PyTree:
        if self.mesh is None:
            return tree
        sharding = NamedSharding(self.mesh, spec)
        one = lambda x: lax.with_sharding_constraint(x, sharding)
        return jax.tree.map(lambda x: one(x) if is_dynamic(x) else x, tree)

    def batch(self, parts: Arguments) -> Arguments:
        """A batch of all processes, each of which provides its part of the rows.

        Raises:
            ValueError: If the rows of a process do not belong to its own devices.
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


#: Everything on JAX's default device.
HERE = Layout()


def placed_like(tree: PyTree, like: PyTree) -> PyTree:
    """Place arrays like those of another tree of the same structure, if that is on a mesh."""

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
    # Each process fills the parts on its own devices.
    host = np.asarray(x)
    return jax.make_array_from_callback(host.shape, sharding, lambda at: host[at])
