"""Storage: a file of arrays with a header, and the conversion of values to it.

Nothing here depends on the kind of file. A file is data: reading one does not execute code.
"""

from ._file import (
    Kind as Kind,
    place_of as place_of,
    read_file as read_file,
    replace_whole as replace_whole,
    write_file as write_file,
)
from ._origin import check_origin as check_origin, origin as origin
from ._records import (
    End as End,
    append_record as append_record,
    read_records as read_records,
    write_record as write_record,
)
from ._tree import (
    NotDataError as NotDataError,
    pack as pack,
    pack_leaves as pack_leaves,
    unpack as unpack,
    unpack_leaves as unpack_leaves,
)

__all__ = [
    "End",
    "Kind",
    "NotDataError",
    "append_record",
    "check_origin",
    "origin",
    "pack",
    "pack_leaves",
    "place_of",
    "read_file",
    "read_records",
    "replace_whole",
    "unpack",
    "unpack_leaves",
    "write_file",
    "write_record",
]
