"""One page of API for each public module of the package: they follow from the exports.

And the path on which tutorials find what they share.
"""

import os
import pkgutil
from pathlib import Path

from mkdocs.structure.files import File

PACKAGE = "numpyro_bayeslayers"
PAGE = """# {name}

::: {package}.{name}
"""


def on_startup(command, dirty):
    """Let the pages that are programs find the modules that they share.

    And keep their outputs free of a warning about a progress bar that none of them shows.
    """
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")
    shared = str(Path(__file__).parent / "tutorials")
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([shared, known] if known else [shared])


def _modules():
    folder = Path(__file__).parents[1] / PACKAGE
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if m.name[0] != "_")


def on_config(config):
    """Add the pages to the navigation."""
    config.nav.append({"API": [{name: f"api/{name}.md"} for name in _modules()]})
    return config


def on_files(files, config):
    """Write the pages: a heading and a directive each."""
    for name in _modules():
        page = PAGE.format(name=name, package=PACKAGE)
        files.append(File.generated(config, f"api/{name}.md", content=page))
    return files
