"""Settings of the site. ``stremn site`` collects the pages around this file and calls Sphinx.

Nothing that a page loads comes from a network: formulas become MathML, which browsers draw themselves.
"""

import re
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

project = "STReMN, reproduced and made visible"
html_title = "STReMN"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_static"]

myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
highlight_language = "text"

autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 90
add_module_names = False

nb_execution_mode = "off"  # the walkthroughs were run when they were collected
nb_ipywidgets_js: dict[str, dict[str, str]] = {}

html_theme = "sphinx_book_theme"
html_theme_options = {
    "footer_content_items": ["last-updated.html"],
    "navbar_persistent": [],  # the search is above the list of pages
    "navigation_with_keys": True,
    "search_bar_text": "Search",
    "show_toc_level": 2,
}
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_last_updated_fmt = ""
html_use_index = False
html_show_search_summary = False  # would fetch pages, which browsers do not allow from a folder

LOGGER = logging.getLogger(__name__)
CHILDREN = {"msubsup": 3, "munderover": 3} | dict.fromkeys(
    ("mfrac", "msub", "msup", "munder", "mover", "mroot"), 2
)
DOLLARS = re.compile(r"\$[^$\s][^$]*\$")


def mathml(latex: str, display: str) -> str:
    """A formula as MathML, ``inline`` or as a ``block``; ValueError if a part is unknown or incomplete."""
    try:
        found = convert(latex, display=display)
    except Exception as error:
        raise ValueError(type(error).__name__) from error
    if unknown := re.search(r"\\\w*", found):
        raise ValueError(f"unknown command {unknown.group()}")
    for element in ElementTree.fromstring(found).iter():
        name = element.tag.rpartition("}")[2]
        if len(element) != CHILDREN.get(name, len(element)):
            raise ValueError(f"{name} has {len(element)} parts, not {CHILDREN[name]}")
    return found


def _formula(self: Any, node: nodes.math | nodes.math_block) -> None:
    block = isinstance(node, nodes.math_block)
    try:
        found = mathml(node.astext(), "block" if block else "inline")
    except ValueError as error:
        LOGGER.warning("formula not understood (%s): %s", error, node.astext(), location=node)
        raise nodes.SkipNode from None
    self.body.append(f'<div class="formula">{found}</div>' if block else found)
    raise nodes.SkipNode


def _no_dollars(_app: Sphinx, tree: nodes.document, _name: str) -> None:
    """A formula that was not recognised as one is left as text with dollars around it."""
    for text in tree.findall(nodes.Text):
        code = isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.raw | nodes.math)
        if not code and (left := DOLLARS.search(text)):
            LOGGER.warning("formula left as text: %s", left.group(), location=text.parent)


def setup(app: Sphinx) -> None:
    """Register the formulas' renderer and the check."""
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))
    app.connect("doctree-resolved", _no_dollars)
