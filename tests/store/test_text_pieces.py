"""Large text files in pieces: that these together have what the file has, and reject what it rejects."""

import gzip
import json
import random
from contextlib import suppress
from dataclasses import replace

import pytest
from enc.store import Share, Source, SourceError, StoreError, divisions, text_pieces
from enc.store.divisions import divide
from enc.store.duck import workspace
from enc.store.first_pass import finished_first_pass, first_pass_of, stage_parts, write_part
from enc.store.places import mark_of
from enc.store.progress import heard_by
from enc.store.source_parts import Piece, parts_of
from enc.store.stage import stage_source
from enc.store.staged_pieces import stage_piece
from enc.store.text_pieces import pieces_of_text
from fakes import Heard, fake_spec

pytestmark = pytest.mark.usefixtures("small_text_pieces")
SEPARATORS = {"tsv": "\t", "csv": ","}


def rows_of(stage):
    """Distinct texts by key, rejects, and their numbers."""
    texts = f"SELECT DISTINCT key, text, pair FROM {stage.name} WHERE key IS NOT NULL"
    rejects = f"SELECT row, reason FROM {stage.name}_rejects ORDER BY ALL"
    return set(stage.con.sql(texts).fetchall()), stage.con.sql(rejects).fetchall(), stage.rows, stage.rejected


def require_same(source, *, least=3):
    """All pieces together have what the file has.

    There are ``least`` pieces, each of which can be read apart; with None, the file is not to be read in
    pieces, and with 0 it need not. Returns whether its division says so already, before a piece is read.
    """
    (file,) = source.file_names()
    pieces = pieces_of_text(source, file)
    found = []
    for lines in pieces:
        with workspace() as con:
            stage = stage_piece(con, source, Piece(file, 0, lines=lines))
            if stage is None:
                assert not least, "a piece cannot be read apart"
                return False
            found.append(rows_of(stage))
    if least is None:
        assert not pieces
        return True
    assert len(pieces) >= least
    if pieces:
        with workspace() as con:
            texts, rejects, rows, rejected = zip(*found, strict=True)
            together = (
                set().union(*texts),
                [one for some in rejects for one in some],
                sum(rows),
                sum(rejected),
            )
            assert together == rows_of(stage_source(con, source))
    return False


def require_same_parts(source, store):
    """Shares of the parts of a first pass have what those of the source have."""
    first_pass = first_pass_of(source, store, "set", fake_spec().digest)
    for part, piece in parts_of(source, first_pass.place).items():
        assert write_part(source, first_pass.folder, part, piece)
    for share in (Share(), Share(1, 3), Share(3, 3)):
        with workspace() as con:
            scanned = stage_source(con, source, "scanned", share=share)
            read = stage_parts(con, source, first_pass, share)
            assert rows_of(read) == rows_of(scanned)
            assert (read.reasons(), read.first_reject()) == (scanned.reasons(), scanned.first_reject())
    assert finished_first_pass(source, store, "set", fake_spec()) == first_pass


def delimited(format, rows=400, end="\n", header=True):
    """With texts that are there again, empty fields and lines, and lines of too few and too many fields."""
    mark = SEPARATORS[format]
    lines = [f"text{mark}n"] if header else []
    for i in range(rows):
        lines.append(f"text {i % 170} {'é' * (i % 7)}{mark}{i}")
        if i % 37 == 5:
            lines.append(["", f"{mark}5", "few", f"a{mark}b{mark}c", f" {mark}1"][i // 37 % 5])
    return end.join(lines) + end


def quoted(rows=400, end="\n"):
    """CSV whose quoted fields hold quotes, delimiters and line ends."""
    lines = ['"text",n']
    for i in range(rows):
        text = ["plain", '"a, b"', f'"one{end}two"', f'"{end}{end} ""so"" {end}"', '""', '"x""y"'][i % 6]
        lines.append(f"{text[:-1]} {i % 90}{text[-1]},{i}" if len(text) > 2 else f"{text},{i}")
    return end.join(lines) + end


@pytest.mark.parametrize("where", [None, "coalesce(try_cast(n AS INT) % 3, 1) = 1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("format", ["tsv", "csv"])
def test_pieces_have_what_the_file_has(write, format, end, where):
    require_same(Source(write(f"big.{format}", delimited(format, end=end)), where=where))


def test_shares_of_the_parts_of_pieces_are_those_of_the_files(tmp_path, write):
    write("a.tsv", delimited("tsv"))
    write("b.csv", quoted())
    write("c.jsonl", json_lines())
    require_same_parts(
        Source([tmp_path / name for name in ("a.tsv", "b.csv", "c.jsonl")]), tmp_path / "store"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("where", [None, "n::INT % 5 <> 2"])
def test_line_ends_in_quotes_are_no_ends_of_rows(write, end, where):
    file = write("big.csv", quoted(end=end))
    require_same(Source(file, where=where), least=3)
    for piece in pieces_of_text(Source(file), str(file)):
        assert file.read_bytes()[piece.start : piece.stop].count(b'"') % 2 == 0


@pytest.mark.parametrize("content", [quoted(), quoted().replace('"', "")])
def test_how_far_the_division_has_come_is_told(write, content):
    heard, file = Heard(), write("big.csv", content)
    with heard_by(heard):
        pieces_of_text(Source(file), str(file))
    done = [done for done, _ in heard.of("reading")]
    assert done == sorted(done)
    assert len(set(done)) > 10
    assert heard.of("reading")[-1] == (content.count("\n"),) * 2


@pytest.mark.parametrize("quotes", [False, True])
@pytest.mark.parametrize("tail", ["", "\n\n\n", "last,1", "last,1\n\n", '"last ""one""",1'])
def test_the_ends_of_files(write, tail, quotes):
    content = (quoted() if quotes else delimited("csv")) + tail
    with_quotes = quotes or '"' in tail
    bad = with_quotes and (not quotes or "\n\n" in tail)  # then our own reader reads all of the file
    require_same(Source(write("big.csv", content)), least=None if bad else 3)
    if "," not in tail:
        tab = delimited("tsv") + tail
        require_same(Source(write("big.tsv", tab)))


@pytest.mark.parametrize("format", ["tsv", "csv"])
def test_marks_and_headers(write, format):
    mark = b"\xef\xbb\xbf"
    with_header, without = (delimited(format, header=header).encode() for header in (True, False))
    many = b"\n".join(mark + line if n % 3 == 0 else line for n, line in enumerate(without.splitlines()))
    for number, (content, options) in enumerate(
        [
            (mark + with_header, {}),
            (mark + without, {"has_header": False, "text_column": "column0"}),
            (without, {"has_header": False, "text_column": "column0"}),
            (mark + without, {"columns": ["n", "text"]}),
            (mark + many, {"columns": ["text", "n"]}),
        ]
    ):
        file = write(f"{number}.{format}", content)
        require_same(Source(file, **options))


def test_a_header_of_several_lines(write):
    file = write(
        "big.csv", '"a\nlong, ""header""\n",text\n' + "".join(f'"{i}\n",x {i}\n' for i in range(400))
    )
    require_same(Source(file), least=3)


def test_files_of_one_column(write):
    lines = ["" if i % 9 == 4 else f"x {i}" for i in range(400)]
    for name in ("one.tsv", "one.csv"):
        require_same(Source(write(name, "\n".join(["text", *lines, "", ""]))))
    quotes = [f'"{line}"' if n % 3 else line for n, line in enumerate(lines)]
    require_same(Source(write("two.csv", "\n".join(["text", *quotes]) + "\n")))


def test_bytes_that_are_no_text(write):
    for format, mark in SEPARATORS.items():
        rows = [f"caf{'é' if i % 31 else chr(233)} {i}".encode() for i in range(400)]
        rows = [row.decode().encode("latin-1") if i % 31 == 0 else row for i, row in enumerate(rows)]
        content = b"".join(row + f"{mark}{i}\n".encode() for i, row in enumerate(rows))
        require_same(Source(write(f"big.{format}", f"text{mark}n\n".encode() + content)))
    content = quoted().encode() + b'"caf\xe9",7\n'
    require_same(Source(write("quoted.csv", content)), least=None)


def test_fields_longer_than_a_piece(write):
    long, lines = "long " * 5000, "long\n\n" * 3000
    rows = [f"x {i}" for i in range(300)]
    for format, mark in SEPARATORS.items():
        content = "".join(f"{row}{mark}{row}\n" for row in [*rows, long, *rows, long, "x"])
        require_same(Source(write(f"big.{format}", f"text{mark}n\n{content}")))
    content = "".join(f'"{row}",1\n' for row in [*rows, lines, *rows, lines])
    require_same(Source(write("quoted.csv", f"text,n\n{content}")))


NOT_ALIKE = [
    ('he said "no",1\n', True),  # quotes within a field are text
    (' "spaces around" ,1\n', True),
    ('"not closed,1\n', True),
    ('"closed" too early,1\n', True),
    ("a carriage\rreturn,1\n", True),
    ("another end,1\r\n", True),
    ('"a lone \r return",1\n', True),
    ('"few"\n', False),
    ('"many","too","often"\n', False),
    ("\n", True),
    ("\n\n", True),
]


@pytest.mark.parametrize(("line", "is_seen"), NOT_ALIKE)
@pytest.mark.parametrize("at", [1, 200, 399])
def test_csv_with_other_quotes_is_one_piece(write, line, is_seen, at):
    rows = [f'"row, {i}",{i}\n' for i in range(400)]
    content = "".join(["text,n\n", *rows[:at], line, *rows[at:]])
    file = write("big.csv", content)
    assert require_same(Source(file), least=None) == is_seen


@pytest.mark.parametrize("line", ["a\rb\t1", "another end\t1\r", "\r", "\0\0\0\0"])
def test_tsv_with_other_line_ends_is_what_it_is_as_a_whole(write, line):
    rows = [f"row {i}\t{i}" for i in range(400)]
    file = write("big.tsv", "\n".join(["text\tn", *rows[:200], line, *rows[200:]]) + "\n")
    require_same(Source(file), least=None if "\r" in line else 3)
    all_returns = write("returns.tsv", "\r".join(["text\tn", *rows]) + "\r")
    assert require_same(Source(all_returns), least=None)


def json_lines(rows=400, end="\n"):
    values = [
        '{"text": "text %d", "n": %d}',
        '{"n": 7, "text": "with \\n and \\" %d", "m": {"a": %d}}',
        '{"text": null, "n": %d%.0d}',
        ' {"text": "begins with a space %d", "n": %d} ',
        '{"text": "date", "day": "2020-01-%02d", "n": %d}',
    ]
    return "".join(values[i % 5] % (i % 27 + 1, i) + end for i in range(rows))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "extra",
    ["", "no json\n", "\n\n", "[1, 2]\n", '{"text": 5}\n', '{"text": {"a": 1}}\n', '{"text": "caf\\u00e9"'],
)
def test_json_lines(write, end, extra):
    half = json_lines(200, end)
    file = write("big.jsonl", half + extra.replace("\n", end) + half + extra.replace("\n", end))
    require_same(Source(file))
    require_same(Source(file, where="n::INT % 3 = 1"))


def test_json_types_are_those_of_the_whole_file(write):
    """One value decides of what type a column is, and so what a condition makes of all rows."""
    rows = [
        json.dumps({"text": str(i) if i != 333 else "9a", "n": i if i != 350 else "x"}) for i in range(400)
    ]
    numbers = [json.dumps({"text": i if i != 390 else {"a": [1]}, "sentence": "s"}) for i in range(399)]
    file = write("big.jsonl", "\n".join(rows))
    require_same(Source(file, where="n::VARCHAR > '3'"))
    file = write("numbers.jsonl", "\n".join(numbers))
    require_same(Source(file, text_column="text"))
    require_same(Source(write("last.jsonl", "\n".join([*rows, '{"sentence": "late"}']))))


def test_json_lines_that_are_not_alike(write):
    half = json_lines(200)
    spaces = write("spaces.jsonl", f"{half}  \n\t\n{half}")
    assert not require_same(Source(spaces), least=None)
    array = write("array.jsonl", "[" + ",\n".join(json_lines(200).splitlines()) + "]\n")
    assert require_same(Source(array), least=None)
    mark = write("mark.jsonl", half.encode() + b'\xef\xbb\xbf{"text": "marked"}\n' * 50 + half.encode())
    require_same(Source(mark))


def test_what_is_wrong_is_told_of_the_file(write):
    file = write("big.tsv", delimited("tsv"))
    with pytest.raises(SourceError, match=r"column 'review' is not in .*big\.tsv \(it has: text, n\)"):
        require_same(Source(file, text_column="review"))
    structs = write("big.jsonl", '{"text": {"a": 1}}\n' * 400)
    with pytest.raises(SourceError, match=r"column 'text' of .*big\.jsonl holds values of type STRUCT"):
        require_same(Source(structs), least=None)


def test_a_condition_may_read_the_file_itself(write):
    file = write("big.tsv", delimited("tsv"))
    sql = f"length(text) > (SELECT min(length(text)) FROM read_csv('{file}', ignore_errors=true))"
    require_same(Source(file, where=sql))


def test_pairs_and_formats_and_names(write):
    file = write("it's *[a] 中.data", delimited("tsv"))
    require_same(Source(file, format="tsv", text_column="n", pair_column="text"))
    require_same(Source(write("stage.duckdb", quoted()), format="csv"))


@pytest.mark.parametrize("seed", range(9))
def test_csv_of_any_kind(write, seed):
    """Of pieces of syntax, put together at random."""
    chance = random.Random(seed)
    calm = ["a", "bc ", "é", '"q"', '"x ""y"" z"', '"l\nl"', '"\n"', '",,"', "", " "]
    wild = ['"', "\r", "\n", ' "s"', '"t" ', 'u"v', ",", "\xff", '""']
    lines = []
    for _ in range(300):
        field = chance.choice(calm if chance.random() > seed % 3 * 0.004 else wild)
        lines.append(f"{field},{chance.choice(calm[:7])}")
    end = chance.choice(["\n", "\n", "\r\n"])
    content = end.join(["text,other", *lines]).encode("latin-1" if seed % 5 == 4 else "utf-8")
    source = Source(write("big.csv", content))
    try:
        with workspace() as con:
            stage_source(con, source)
    except SourceError:
        with suppress(SourceError):
            require_same(source, least=None)
    else:
        require_same(source, least=0)


def test_what_is_not_divided(tmp_path, write, monkeypatch):
    content = delimited("tsv").encode()
    file, packed = write("big.tsv", content), write("big.tsv.gz", gzip.compress(content))
    small = write("small.tsv", content[:200])
    monkeypatch.setattr(text_pieces, "LOOKED_AT", len(gzip.compress(content)))
    pieces = parts_of(Source([packed, small]), tmp_path / "work").values()
    assert [piece.lines for piece in pieces] == [None, None]
    assert not (tmp_path / "work").exists()
    assert len(parts_of(Source(file), tmp_path / "work")) > 3


def test_a_division_is_made_once_and_found_by_all(tmp_path, write, monkeypatch):
    file = write("big.tsv", delimited("tsv"))
    source, store = Source(file), tmp_path / "store"
    assert finished_first_pass(source, store, "set", fake_spec()) is None
    first_pass = first_pass_of(source, store, "set", fake_spec().digest)
    (division,) = first_pass.place.glob("pieces-*.json")
    with monkeypatch.context() as patch:
        patch.setattr(divisions, "pieces_of_text", None)
        assert first_pass_of(source, store, "set", fake_spec().digest) == first_pass
    division.unlink()
    assert first_pass_of(source, store, "set", fake_spec().digest) == first_pass
    whole = division.read_bytes()
    for damaged in (b"", whole[:-5], whole.replace(b"rows", b"rose"), b"7"):
        division.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"is damaged .*remove the folder"):
            first_pass_of(source, store, "set", fake_spec().digest)


def test_a_file_that_changes_is_divided_anew(tmp_path, write, monkeypatch):
    file = write("big.tsv", delimited("tsv"))
    source, store = Source(file), tmp_path / "store"
    first_pass = first_pass_of(source, store, "set", fake_spec().digest)
    (name, piece), *_ = parts_of(source, first_pass.place).items()
    write("big.tsv", "text\tn\nnew\t1\n" + delimited("tsv", header=False))
    with pytest.raises(SourceError, match=r"big\.tsv changed while it was read"):
        write_part(source, first_pass.folder, name, piece)
    assert not set(first_pass.parts) & set(first_pass_of(source, store, "set", fake_spec().digest).parts)

    def late(*asked):
        found = pieces_of_text(*asked)
        write("big.tsv", "text\nnew\n")
        return found

    write("big.tsv", delimited("tsv", rows=500))
    monkeypatch.setattr(divisions, "pieces_of_text", late)
    with pytest.raises(SourceError, match=r"big\.tsv changed while it was read"):
        first_pass_of(source, store, "set", fake_spec().digest)


def test_a_piece_that_has_other_rows_makes_the_file_one_piece(tmp_path, write):
    """What the division says is not believed: a piece counts its own rows."""
    for name, content in (("big.tsv", delimited("tsv")), ("big.csv", quoted()), ("big.jsonl", json_lines())):
        source = Source(write(name, content))
        first_pass = first_pass_of(source, tmp_path / "store", "set", "0")
        mark = mark_of(tmp_path / name)
        pieces = divide(first_pass.place, source, str(tmp_path / name), mark)
        other = (replace(pieces[0], rows=pieces[0].rows + 1), *pieces[1:])
        divisions._write(first_pass.place, str(tmp_path / name), mark, other)
        (name_, piece), second, *_ = parts_of(source, first_pass.place).items()
        assert write_part(source, first_pass.folder, name_, piece) is None
        assert write_part(source, first_pass.folder, *second) is None
        assert [one.lines for one in parts_of(source, first_pass.place).values()] == [None]
