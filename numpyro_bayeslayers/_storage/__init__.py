"""What is kept on the disk: a file of arrays with a header, and values that can be put into it.

Nothing here knows what a file is of. A file is data: to read one runs no code of it.
"""

from ._file import (
    Kind as Kind,
    place_of as place_of,
    read_file as read_file,
    replace_whole as replace_whole,
    write_file as write_file,
)
from ._origin import check_origin as check_origin, origin as origin
from ._tree import (
    NotDataError as NotDataError,
    pack as pack,
    pack_leaves as pack_leaves,
    unpack as unpack,
    unpack_leaves as unpack_leaves,
)

__all__ = [
    "Kind",
    "NotDataError",
    "check_origin",
    "origin",
    "pack",
    "pack_leaves",
    "place_of",
    "read_file",
    "replace_whole",
    "unpack",
    "unpack_leaves",
    "write_file",
]
