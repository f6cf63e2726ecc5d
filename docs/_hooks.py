"""Pages of API, links to them, formulas as MathML, tutorials, and what is checked at the end."""

import logging
import re
import sys
from pathlib import Path

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
from _api import PACKAGE, families, rooms
from _links import Links
from _math import as_mathml
from _site_check import faults_of
from _tutorials import Tutorials, source_of

MODULE = f"""# {{name}}

::: {PACKAGE}.{{name}}
"""
MEMBER = """::: {path}
    options:
      show_root_heading: true
      show_root_full_path: false
      show_root_toc_entry: true
"""
#: The dash before the description of a returned value whose type is not written.
DASH = re.compile(r'(<li class="doc-section-item field-body">\s*)\u2013')
links, tutorials = Links(), Tutorials()
log = logging.getLogger("mkdocs.hooks.site")


def on_startup(command, dirty):
    """Note which command runs."""
    tutorials.is_serving = command == "serve"


def on_config(config):
    """Add the pages to the navigation."""
    entries = []
    for room in rooms():
        pages = [
            {title: f"api/{room}/{page}.md"}
            for page, (title, _) in families(room).items()
        ]
        index = f"api/{room}.md"
        entries.append(
            {room: [{f"All of {room}": index}, *pages] if pages else index}
        )
    config.nav.append({"API": entries})
    return config


def on_files(files, config):
    """Write the pages: a heading and directives each."""
    pages = {}
    for room in rooms():
        index = [f"# {room}", "One page for each family."]
        for page, (title, names) in families(room).items():
            paths = {name: f"{PACKAGE}.{room}.{name}" for name in names}
            entries = [MEMBER.format(path=path) for path in paths.values()]
            pages[f"api/{room}/{page}.md"] = "\n".join(
                [f"# {title}\n", *entries]
            )
            found = [
                f"[`{name}`]({room}/{page}.md#{path})"
                for name, path in paths.items()
            ]
            index += [f"## {title}", ",\n".join(found)]
        whole = (
            "\n\n".join(index) + "\n"
            if families(room)
            else MODULE.format(name=room)
        )
        pages[f"api/{room}.md"] = whole
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    programs = [file for file in files if _is_tutorial(file)]
    tutorials.start([source_of(file) for file in programs])
    for file in programs:  # drawn last: until then they run beside the build
        files.remove(file)
        files.append(file)
    return files


@event_priority(100)  # before the plugin that draws notebooks
def on_pre_page(page, **kwargs):
    """Draw the notebook with its outputs in place of the program."""
    if _is_tutorial(page.file):
        page.file.abs_src_path = str(tutorials.result(source_of(page.file)))
    return page


def _is_tutorial(file):
    return re.fullmatch(r"tutorials/[^_]\w*\.py", file.src_uri) is not None


def on_page_content(html, page, **kwargs):
    """Draw formulas, link names to their descriptions, share the styles of tutorials."""
    is_tutorial = _is_tutorial(page.file)
    html = as_mathml(DASH.sub(r"\1", html), is_tutorial=is_tutorial)
    if is_tutorial:
        html = tutorials.of_page(html, page)
    return links.of_page(html, page)


def on_post_build(config):
    """Write what tutorials share, and say what is wrong with the site."""
    site = Path(config.site_dir)
    tutorials.write(site)
    for fault in [*links.faults(), *faults_of(site, Path(config.docs_dir))]:
        log.warning(fault)
