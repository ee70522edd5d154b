import gzip

import pytest
from enc.store import SourceError, text_file
from enc.store.text_file import examine, lines_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@given(
    st.lists(st.sampled_from([b"a", b'"', b"\n", b"\r", b"\r\n", b"\n\n"]), max_size=30), st.integers(3, 9)
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_change_nothing(tmp_path, parts, block):
    content = b"".join(parts)
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "BLOCK_BYTES", block)
        facts = examine(str(path))
    feeds, returns, both = content.count(b"\n"), content.count(b"\r"), content.count(b"\r\n")
    if not returns:
        newline = "\n"
    elif returns == feeds == both:
        newline = "\r\n"
    else:
        newline = None if feeds else "\r"
    assert facts.newline == newline
    lines = list(lines_of(str(path), newline))
    assert b"".join(lines) == content
    assert facts.lines == len(lines)
    assert facts.longest >= max(map(len, lines), default=0)
    if newline != "\r":
        blank = [number for number, line in enumerate(lines, 1) if line in (b"\n", b"\r\n")]
        at_end = 0
        while blank and blank[-1] == len(lines) - at_end:
            blank.pop()
            at_end += 1
        assert (facts.blank_lines.tolist(), facts.blank_at_end) == (blank, at_end)
    assert facts.has_quotes == (b'"' in content)


def test_compressed_files_are_looked_into(tmp_path):
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(gzip.compress(b"text\na\nb\n"))
    assert examine(str(path)).lines == 3
    path.write_bytes(b"not gzip")
    with pytest.raises(SourceError, match=r"f\.tsv\.gz cannot be read"):
        examine(str(path))


def test_a_line_without_an_end_is_not_held_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(text_file, "LONGEST_LINE", 1000)
    path = tmp_path / "f.tsv"
    path.write_bytes(b"text\n" + b"x" * 300_000)
    with pytest.raises(SourceError, match="has a line of over 0 MB, line 2; is it a text file"):
        examine(str(path))


def test_what_the_file_begins_with(tmp_path):
    path = tmp_path / "f.json"
    path.write_bytes(b"\xef\xbb\xbf \n [1]")
    facts = examine(str(path))
    assert (facts.has_mark, facts.is_array) == (True, True)
