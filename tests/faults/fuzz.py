"""Arbitrary files as sources: every row is a row or a counted reject, and no text is another than the file's.

Run as a program, it makes so many files from a seed, one after another, in this process:

    python tests/faults/fuzz.py COUNT [SEED]

A file is a well-formed one with some bytes changed, cut, doubled or moved, or bytes that mean something to a
reader of its format; a few are nothing but noise. What is read is compared with what Python's own readers
make of the same bytes, as far as these have an opinion. It ends with 1 at the first file that is read
wrongly, and prints it.
"""

import csv
import io
import json
import random
import re
import sys
import tempfile
import traceback
from collections import Counter
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from enc.engine.scoring.parquet_input import ParquetInput
from enc.store import Source, SourceError
from enc.store.duck import workspace
from enc.store.stage import stage_source

FORMATS = ("tsv", "csv", "jsonl", "parquet")
TEXTS = [
    "good",
    "sehr schön",
    "不错",
    "a,b",
    'he "said"',
    "tab\there",
    "two\nlines",
    "",
    " ",
    "null",
    "x" * 300,
]
TOKENS = {
    "tsv": [b"\t", b"\n", b"\r\n", b"\r", b'"', b"\xff", b"\0", b"\xef\xbb\xbf", b"\xed\xa0\x80"],
    "csv": [b",", b"\n", b"\r\n", b"\r", b'"', b'""', b'","', b"\xff", b"\0", b";", b"'", b"\\"],
    "jsonl": [
        b"\n",
        *(bytes([mark]) for mark in b'{}[]":,\\'),
        b"\\u0000",
        b"\\ud800",
        b"null",
        b"1e999",
        b"\xff",
    ],
    "parquet": [b"PAR1", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f"],
}
Row = tuple[int, str | None, str | None]


def well_formed(chosen: random.Random, format: str) -> bytes:
    """A file of a few rows as it should be."""
    rows = [
        {"text": chosen.choice(TEXTS), "label": chosen.choice(["a", "b"])}
        for _ in range(chosen.randrange(12))
    ]
    if format == "parquet":
        out = io.BytesIO()
        schema = pa.schema([("text", pa.string()), ("label", pa.string())])
        table = pa.Table.from_pylist(rows, schema)
        pq.write_table(table, out, compression=chosen.choice(["snappy", "none"]), row_group_size=5)
        return out.getvalue()
    if format == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=chosen.random() < 0.5) + "\n" for row in rows).encode()
    text = io.StringIO()
    if format == "csv":
        writer = csv.writer(
            text, quoting=chosen.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), lineterminator="\n"
        )
        writer.writerows([["text", "label"], *(row.values() for row in rows)])
        return text.getvalue().encode()
    lines = [f"{row['text']}\t{row['label']}" for row in rows if not {"\t", "\n"} & set(row["text"])]
    return ("\n".join(["text\tlabel", *lines]) + "\n").encode()


def spoiled(chosen: random.Random, format: str) -> bytes:
    """A file with a few changes to it, seldom none, seldom nothing but noise."""
    if chosen.random() < 0.05:
        return bytes(chosen.choices(range(256), k=chosen.randrange(200)))
    data = bytearray(well_formed(chosen, format))
    for _ in range(chosen.choice([0, 1, 1, 2, 3, 8])):
        at, end = sorted(chosen.randrange(len(data) + 1) for _ in range(2))
        end = min(end, at + 30)
        match chosen.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << chosen.randrange(8)
            case 1:
                data[at:at] = chosen.choice(TOKENS[format])
            case 2:
                data[at:end] = b""
            case 3:
                data[at:at] = data[at:end]
            case 4:
                del data[at:]
            case _:
                data[at : at + 1] = chosen.choice(TOKENS[format])
    return bytes(data)


def read(path: Path) -> tuple[list[Row], dict[int, str], int] | None:
    """Rows (number, text, label) that enc reads, rejects by number, and their sum; None if it refuses."""
    with workspace() as con:
        try:
            stage = stage_source(con, Source(path, text_column="text"), "stage", label_column="label")
        except SourceError as error:
            if "\n" in str(error):
                raise AssertionError(f"an error of several lines: {error}") from error
            return None
        rows = con.sql("SELECT row, text, label FROM stage WHERE key IS NOT NULL ORDER BY id").fetchall()
        rejects = con.sql("SELECT row, reason FROM stage_rejects").fetchall()
    numbers = sorted([row[0] for row in rows] + [row[0] for row in rejects])
    if numbers != list(range(1, stage.rows + 1)):
        raise AssertionError(f"rows and rejects are {numbers} of {stage.rows}")
    return rows, dict(rejects), stage.rows


def expected(data: bytes, format: str, path: Path) -> list[tuple[str, str | None] | None] | int | None:
    """Text and label of each row, None for one that nobody can read; or the number of rows.

    None is no opinion.
    """
    if format == "parquet":
        try:
            return pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError):
            return None
    if b"\r" in data or data.startswith(b"\xef\xbb\xbf"):
        return None
    if format == "jsonl":
        return [_object(line) for line in data.split(b"\n") if line.strip()]
    separator = b"\t" if format == "tsv" else b","
    head, *lines = data.rstrip(b"\n").split(b"\n")
    if head != separator.join([b"text", b"label"]):
        return None
    if format == "csv" and b'"' in data:
        return None
    return [_fields(line.split(separator)) for line in lines]


def _object(line: bytes) -> tuple[str, str | None] | None:
    try:
        # DuckDB takes the first of two fields of a name, and a comma behind the last field.
        text = line.decode()
        try:
            found = json.loads(text, object_pairs_hook=_firsts)
        except ValueError:
            found = json.loads(re.sub(r",\s*([}\]])", r"\1", text), object_pairs_hook=_firsts)
        json.dumps(found, ensure_ascii=False).encode()  # half a character is none
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        return None
    label = found.get("label")
    return found["text"], label if isinstance(label, str) else None


def _firsts(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return dict(reversed(pairs))


def _fields(fields: list[bytes]) -> tuple[str, str | None] | None:
    while len(fields) > 2 and not fields[-1]:
        fields = fields[:-1]  # separators at the end of a line
    if len(fields) != 2:
        return None
    try:
        text, label = (field.decode() for field in fields)
    except ValueError:
        return None
    return text, label or None


def _require_scorable(path: Path, rows: int | None) -> None:
    """Read all columns as `enc score` does: all of the rows, or an error of a source."""
    try:
        opened = ParquetInput(str(path))
        with closing(opened):
            read = sum(batch.num_rows for batch, _ in opened.batches(4, opened.schema.names))
    except SourceError:
        return
    if rows is not None and read != rows:
        raise AssertionError(f"{read} rows to score, and {rows} to look up")


def check(data: bytes, format: str, folder: Path) -> str:
    """Read a file and compare; returns what came of it. Raises AssertionError where that is wrong."""
    path = folder / f"source.{format}"
    path.write_bytes(data)
    found = read(path)
    if format == "parquet":
        _require_scorable(path, None if found is None else found[2])
    if found is None:
        return "refused"
    rows, rejects, count = found
    wanted = expected(data, format, path)
    if isinstance(wanted, int):
        if count != wanted:
            raise AssertionError(f"{count} rows, and there are {wanted}")
    elif wanted is not None:
        if count != len(wanted):
            raise AssertionError(f"{count} rows, and there are {len(wanted)}")
        for number, text, label in rows:
            if wanted[number - 1] != (text, label):
                raise AssertionError(f"row {number} is {(text, label)}, and stands as {wanted[number - 1]}")
        for number, reason in rejects.items():
            row = wanted[number - 1]
            if row is not None and row[0].strip() and "\0" not in row[0]:
                raise AssertionError(f"row {number} is {row}, and was rejected: {reason}")
    return "with rejects" if rejects else "whole"


def main(count: int, seed: int) -> int:
    """Make and read so many files; 0 if all were read right or refused."""
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="enc-fuzz-") as name:
        for number in range(seed, seed + count):
            chosen = random.Random(number)
            format = FORMATS[number % len(FORMATS)]
            data = spoiled(chosen, format)
            kept = Path(name) / "now"
            kept.write_bytes(data)
            try:
                outcomes[f"{format}, {check(data, format, Path(name))}"] += 1
            except Exception as error:
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
                print(f"file {number} ({format}): {error}\n{data!r}", file=sys.stderr)
                return 1
    print(json.dumps(dict(sorted(outcomes.items()))))
    return 0


if __name__ == "__main__":
    count, seed = (int(argument) for argument in (*sys.argv[1:], "0")[:2])
    sys.exit(main(count, seed))
