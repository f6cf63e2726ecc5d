"""Pages of API for each public module and each family of layers, and formulas as MathML.

And the path on which tutorials find what they share.
"""

import functools
import importlib
import os
import pkgutil
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
from _math import as_mathml

PACKAGE = "numpyro_bayeslayers"
LAYERS = f"{PACKAGE}.layers"
MODULE = f"""# {{name}}

::: {PACKAGE}.{{name}}
"""
LAYER = f"""::: {LAYERS}.{{name}}
    options:
      show_root_heading: true
      show_root_toc_entry: true
"""


def on_startup(command, dirty):
    """Let the pages that are programs find the modules that they share.

    And keep their outputs free of a warning about a progress bar that none of them shows.
    """
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")
    shared = str(Path(__file__).parent / "tutorials")
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([shared, known] if known else [shared])


def on_config(config):
    """Add the pages to the navigation."""
    families = [
        {title: f"api/layers/{name}.md"} for name, (title, _) in _families().items()
    ]
    layers = [{"All layers": "api/layers.md"}, *families]
    entries = [
        {name: layers if name == "layers" else f"api/{name}.md"} for name in _modules()
    ]
    config.nav.append({"API": entries})
    return config


def on_files(files, config):
    """Write the pages: a heading and directives each."""
    pages = {f"api/{name}.md": MODULE.format(name=name) for name in _modules()}
    index = ["# layers", "One page for each family."]
    for family, (title, names) in _families().items():
        entries = [LAYER.format(name=name) for name in names]
        pages[f"api/layers/{family}.md"] = "\n".join([f"# {title}\n", *entries])
        links = [f"[`{name}`](layers/{family}.md#{LAYERS}.{name})" for name in names]
        index += [f"## {title}", ",\n".join(links)]
    pages["api/layers.md"] = "\n\n".join(index) + "\n"
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_content(html, page, **kwargs):
    """Draw formulas."""
    return as_mathml(html, is_tutorial=page.file.src_uri.endswith(".py"))


def _modules():
    folder = Path(__file__).parents[1] / PACKAGE
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if m.name[0] != "_")


@functools.cache
def _families():
    """The title and the public names of each room of `layers`."""
    layers = importlib.import_module(LAYERS)
    rooms = [m.name for m in pkgutil.iter_modules(layers.__path__) if m.name[0] != "_"]
    found = {"base": ("Base classes", ["AbstractLayer", "AbstractRowLayer"])}
    for name in sorted(rooms):
        room = importlib.import_module(f"{LAYERS}.{name}")
        title = re.split("[:,.]", room.__doc__)[0]
        found[name] = title, sorted(set(vars(room)) & set(layers.__all__))
    return found
