from types import SimpleNamespace

import pytest
from enc.pages.content import Note, Page, Section
from enc.pages.page import page_html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("run `enc score … --proba` first", "run <code>enc score … --proba</code> first"),
        ("label `<b>&amp;` and <i>", "label <code>&lt;b&gt;&amp;amp;</code> and &lt;i&gt;"),
        ("`<script>`\"'`</p>`", "<code>&lt;script&gt;</code>&#34;&#39;<code>&lt;/p&gt;</code>"),
        ("one ` alone", "one ` alone"),
        ("``", "``"),
    ],
)
def test_what_stands_between_backticks_is_code_and_nothing_is_html(text, shown):
    page = Page("A page", [Section("A section", [Note(text)])])
    painter = SimpleNamespace(svg=None, runtime=None)  # there is nothing to draw
    assert f'<p class="note">{shown}</p>' in page_html(page, painter)  # type: ignore[arg-type]
