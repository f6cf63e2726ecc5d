"""Distinguish code of Python and installed packages from users' code."""

import os
import site
import sys
import sysconfig
import types

_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_LIBRARIES = tuple(
    os.path.join(path, "")
    for path in {
        _HERE,
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        *site.getsitepackages(),
        site.getusersitepackages(),
    }
)


def is_library_code(code: types.CodeType) -> bool:
    """Whether a function's code belongs to Python or an installed package."""
    return code.co_filename.startswith(_LIBRARIES)


def is_library(module: types.ModuleType | None) -> bool:
    """Whether a module belongs to Python or an installed package."""
    if module is None or module.__name__ == "__main__":
        return False
    if module.__name__ in sys.builtin_module_names:
        return True
    return (getattr(module, "__file__", None) or "").startswith(_LIBRARIES)


def slots_of(kind: type) -> list[str]:
    """The names of the slots defined by a class itself."""
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]
