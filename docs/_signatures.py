"""What the API pages cannot see in the source: constructors that are made from fields.

Equinox modules and NamedTuples have no `__init__` to read, so their signatures are taken from
the classes themselves.
"""

import importlib
import inspect
import re

import griffe

KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: griffe.ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.VAR_POSITIONAL: griffe.ParameterKind.var_positional,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: griffe.ParameterKind.var_keyword,
}


class Signatures(griffe.Extension):
    """Adds a constructor to each class that does not write its own."""

    def on_object(self, *, obj, **kwargs):
        """Read `Example:` as the section that runs, as Google's `Examples:`."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", text, flags=re.M
            )

    def on_class(self, *, cls, **kwargs):
        """Take the signature from the live class."""
        if "__init__" in cls.members or cls.name.startswith("_"):
            return
        module = importlib.import_module(cls.module.path)
        live = getattr(module, cls.name, None)
        if not inspect.isclass(live):
            return
        try:
            signature = inspect.signature(live)
        except (TypeError, ValueError):  # built-in classes do not tell
            return
        parameters = griffe.Parameters(
            *map(_parameter, signature.parameters.values())
        )
        cls.set_member(
            "__init__", griffe.Function("__init__", parameters=parameters)
        )


def _parameter(live):
    bare = live.default is inspect.Parameter.empty
    annotation = live.annotation
    if annotation is inspect.Parameter.empty:
        annotation = None
    elif not isinstance(annotation, str):
        annotation = inspect.formatannotation(annotation)
    return griffe.Parameter(
        live.name,
        annotation=annotation,
        kind=KINDS[live.kind],
        default=None if bare else repr(live.default),
    )
