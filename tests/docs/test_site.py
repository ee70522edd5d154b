"""The manual as a site: it builds without a warning, and every link in it leads somewhere."""

import html
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import enc
import pytest
from enc.cli import errors
from manual import PAGES, ROOT

OTHER = ("https", "http", "mailto", "data")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "state"]
    done = subprocess.run(
        [*command, ROOT / "docs", folder / "html"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder / "html"


def _attributes(name: str, text: str) -> set[str]:
    return {html.unescape(value) for value in re.findall(rf'\b{name}="([^"]+)"', text)}


def test_links_and_anchors_of_the_site_hold(site):
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    anchors = {
        path: {*map(html.unescape, re.findall(r'\bid="([^"]+)"', text))} for path, text in texts.items()
    }
    links = 0
    for path, text in texts.items():
        for link in _attributes("href", text) | _attributes("src", text):
            parts = urlsplit(link)
            if parts.scheme in OTHER:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), (path.name, link)
            if parts.fragment and target in anchors:
                assert unquote(parts.fragment) in anchors[target] | {"top"}, (path.name, link)
            links += 1
    assert links > 100


def test_pages_ask_no_network_for_anything(site):
    loaded = (
        r'<(?:script|img|iframe|source)[^>]* src="([^"]+)"|<link[^>]* rel="stylesheet"[^>]* href="([^"]+)"'
    )
    for path in site.rglob("*.html"):
        for pair in re.findall(loaded, path.read_text(encoding="utf-8")):
            assert urlsplit("".join(pair)).scheme == "", (path.name, pair)


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_the_files_hold(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        parts = urlsplit(link)
        if parts.scheme in OTHER:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert target.exists(), link
        if parts.fragment and target.suffix == ".md":
            assert parts.fragment in _anchors(target), link


def test_every_page_is_in_the_table_of_contents(site):
    contents = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert f'href="{name}' in contents or name == "index.html", name


def test_the_reference_has_every_public_name():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    named = re.findall(r"^\.\. auto\w+:: enc\.(\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(enc.__all__)


def test_the_reference_has_every_variable_of_the_environment():
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("benchmarks", "cli", "engine", "pages", "store")
        for path in (ROOT / folder).rglob("*.py")
    )
    read = {*re.findall(r"\bENC_[A-Z_]+\b", code)}
    assert {name for name in read if f"`{name}`" not in page} == set()


def test_the_reference_has_every_exit_code():
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    codes = {errors.DEFECT, errors.USER_ERROR, errors.REJECTS, errors.INTERRUPTED, errors.TERMINATED}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes | {0}
