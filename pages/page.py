"""From a page's content to HTML: one file, with the pictures, the runtime and the style in it."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..store.files import replaced_file
from ..store.progress import counted
from .content import Cell, Page, kind_of
from .painter import Painter

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).with_name("templates")


def write_page(page: Page, path: str | Path, painter: Painter) -> Path:
    """Write a page as one HTML file; returns its path. Raises ReportError for charts that cannot be drawn."""
    path = Path(path)
    text = page_html(page, painter)
    with replaced_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def page_html(page: Page, painter: Painter) -> str:
    """A page as HTML that makes no request to any network.

    Without JavaScript, charts are pictures; with it, they tell more under the mouse, and tables sort.
    """
    charts = counted(page.charts, "drawing", 0, len(page.charts))
    pictures = {id(chart): _fluid(painter.svg(chart.spec)) for chart in charts}
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            pictures=pictures,
            runtime=_in_script(painter.runtime()) if page.charts else "",
        )
    )


@cache
def environment() -> "Environment":
    """Templates, which escape whatever is put into them."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def file(name: str) -> str:
        return Markup((_FOLDER / name).read_text(encoding="utf-8"))

    found = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {"kind": kind_of, "cell": _cell, "spec": _spec_in_script, "ident": id, "prose": _prose}
    found.globals |= {"file": file}
    return found


def _cell(cell: Cell | str) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)


def _prose(text: str) -> str:
    """Running text, escaped, with what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _spec_in_script(spec: Mapping[str, Any]) -> str:
    """A chart as JSON that no text in it can end: the page's parser sees no tag."""
    from markupsafe import Markup

    text = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
    for character in ("&", "<", ">", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _in_script(code: str) -> str:
    """Code in a scope of its own, without what ends a script's element."""
    from markupsafe import Markup

    return Markup("(()=>{" + re.sub(r"</(?=script)", r"<\\/", code, flags=re.IGNORECASE) + "})();")


def _fluid(svg: str) -> str:
    """A picture that shrinks with the page, which its width and height would keep it from."""
    from markupsafe import Markup

    return Markup(re.sub(r"^<svg ", '<svg role="img" ', svg.strip(), count=1))
