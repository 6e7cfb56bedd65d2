"""The site. Build it with `sphinx-build -b html docs site`, after `tlcourse run --out artifacts/executed`.

TLCOURSE_EXECUTED names another folder of executed lessons. A lesson that is not in it is shown without outputs. Nothing
on a page is loaded from another server: formulas are MathML, and widgets are shown as they stood when the lesson ended.
"""

import html
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


def as_html(id, models):
    """A widget and its children as plain HTML: what they show, without what would need a kernel."""
    name, state = models[id]["model_name"], models[id]["state"]
    if name in ("VBoxModel", "HBoxModel"):
        children = (child.removeprefix("IPY_MODEL_") for child in state["children"])
        return f"<div>{''.join(as_html(child, models) for child in children)}</div>"
    if name == "HTMLModel":
        return state["value"]
    if name == "RadioButtonsModel":
        return f"<ul>{''.join(f'<li>{html.escape(option)}</li>' for option in state['_options_labels'])}</ul>"
    if name == "DropdownModel":
        chosen = state["_options_labels"][state["index"]]
        return f"<p>{html.escape(state['description'])}: <b>{html.escape(chosen)}</b></p>"
    if name == "BoundedFloatTextModel":
        return f"<p>{html.escape(state['description'])}: <b>{state['value']:g}</b></p>"
    if name == "CheckboxModel":
        return f"<p>{html.escape(state['description'])}: <b>{'yes' if state['value'] else 'no'}</b></p>"
    return ""  # buttons and sliders do nothing here, and a progress bar is done


def still(notebook):
    """Replace every widget of an executed notebook by what it showed; return the notebook."""
    state = notebook.metadata.pop("widgets", {}).get("application/vnd.jupyter.widget-state+json", {"state": {}})
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):  # here a notebook is a page
                page = re.sub(r'(href="\.\./exercises/[^"]+)\.ipynb"', r'\1.html"', output["data"]["text/html"])
                output["data"]["text/html"] = re.sub(r" Kept in [^<]+\.(?=</div>)", "", page)  # a folder of that run
            view = output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            if view is not None and view["model_id"] in state["state"]:
                shown = as_html(view["model_id"], state["state"])
                if "<img" in shown or "<ul" in shown:
                    shown += "<p><em>Interactive in JupyterLab and on Colab.</em></p>"
                output["data"]["text/html"] = shown
    return notebook


def gather(app):
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
    app.connect("builder-inited", gather, priority=1)
    app.connect("source-read", redirect)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
