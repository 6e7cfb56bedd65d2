"""The site. Build it with `sphinx-build -b html docs site`, after `tlcourse run --out artifacts/executed`.

TLCOURSE_EXECUTED names another folder of executed lessons. A lesson that is not in it is shown without outputs. Nothing
on a page is loaded from another server: formulas are MathML, and a widget leaves the picture that it showed first.
"""

import json
import os
import re
import shutil
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import tlcourse
from tlcourse.authoring.claims_over_seeds import as_page

HERE = Path(__file__).parent
EXECUTED = Path(os.environ.get("TLCOURSE_EXECUTED", HERE.parent / "artifacts" / "executed"))

project = "tlcourse"
author = "The tlcourse founders"
copyright = "the tlcourse founders; code Apache-2.0, notebooks CC BY 4.0"
release = version = tlcourse.__version__
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["**/.ipynb_checkpoints", "**/*.new.ipynb"]
html_theme = "pydata_sphinx_theme"
html_title = "tlcourse"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["claims.html"]
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
}
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_use_rtype = False
napoleon_use_ivar = True


def still(notebook):
    """Drop what would need a kernel, such as widgets, which leave their picture, and progress bars; return the notebook."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []).copy():
            shown = output.get("data", {})
            if shown.pop("application/vnd.jupyter.widget-view+json", None) and "text/html" not in shown:
                cell.outputs.remove(output)
            if "text/html" in shown:  # here a notebook is a page
                page = re.sub(r'(href="\.\./exercises/[^"]+)\.ipynb"', r'\1.html"', shown["text/html"])
                shown["text/html"] = re.sub(r" Kept in [^<]+\.(?=</div>)", "", page)  # a folder of that run
    return notebook


def gather(app, config):
    """Put lessons, as executed, exercises, without answers, and the page of claims where Sphinx finds them."""
    claims = json.loads((HERE / "claims.json").read_text(encoding="utf-8"))
    (HERE / "claims.html").write_text(as_page(claims), encoding="utf-8")
    for folder in ("notebooks", "exercises"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
        (HERE / folder).mkdir()
        for path in sorted((HERE.parent / folder).glob("[0-9][0-9]_*.ipynb")):
            notebook = nbformat.read(path, as_version=4)
            if folder == "notebooks" and (EXECUTED / path.name).exists():
                executed = nbformat.read(EXECUTED / path.name, as_version=4)
                if [cell.source for cell in executed.cells] == [cell.source for cell in notebook.cells]:
                    notebook = executed  # else the lesson has changed since it was executed
            nbformat.write(still(notebook), HERE / folder / path.name)


def redirect(app, name, source):
    """On GitHub a link into the notebooks leaves docs/; here their copies lie in it."""
    if "/" not in name:
        source[0] = source[0].replace("](../notebooks/", "](notebooks/")


def visit_inline(translator, node):
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(translator, node):
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    app.connect("config-inited", gather, priority=1)  # before Sphinx looks whether claims.html is there
    app.connect("source-read", redirect)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
