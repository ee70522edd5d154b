"""Pages of Parquet files that are small on disk, and large in memory."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import Source, SourceError, page_sizes
from enc.store.duck import workspace
from enc.store.pages import sizes_of_pages
from enc.store.stage import stage_source

MEGABYTE = 1 << 20


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "rows.parquet")


def stage(file):
    with workspace() as con:
        return stage_source(con, Source(file)).rows


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    monkeypatch.setattr(page_sizes, "available_memory", lambda: 4 * MEGABYTE * page_sizes.COPIES)


def test_a_page_that_does_not_fit_into_memory_is_refused_before_it_is_read(file):
    texts = [f"{number} {'good ' * 200_000}" for number in range(30)]
    pq.write_table(pa.table({"text": texts}), file, compression="zstd", use_dictionary=False)
    with pytest.raises(SourceError, match=r"of column 'text' of .*rows.parquet holds.*write_batch_size"):
        stage(file)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_a_large_row_group_of_small_pages_is_read(file, version, dictionary):
    texts = [f"{number % 40} {'good ' * 20_000}" for number in range(100)]
    pq.write_table(
        pa.table({"text": texts}), file, compression="zstd", use_dictionary=dictionary, write_batch_size=2,
        data_page_version=version, dictionary_pagesize_limit=MEGABYTE,
    )  # fmt: skip
    chunk = pq.read_metadata(file).row_group(0).column(0)
    assert chunk.total_uncompressed_size > 4 * MEGABYTE or dictionary
    assert stage(file) == 100


def test_pages_with_statistics_are_measured(file):
    texts = [f"{number:05} good" for number in range(20_000)]
    pq.write_table(
        pa.table({"text": texts}), file, use_dictionary=False, data_page_size=10_000, write_batch_size=100
    )
    chunk = pq.read_metadata(file).row_group(0).column(0)
    with open(file, "rb") as opened:
        start = chunk.data_page_offset
        sizes = sizes_of_pages(opened.fileno(), start, start + chunk.total_compressed_size)
    assert sizes is not None
    assert len(sizes) > 20
    assert 20_000 * 14 < sum(sizes) < 20_000 * 15
    assert sum(sizes) < chunk.total_uncompressed_size


def test_pages_that_cannot_be_told_count_as_one(file):
    texts = [f"{number} {'good ' * 20_000}" for number in range(100)]
    pq.write_table(
        pa.table({"text": texts}), file, compression="none", use_dictionary=False, write_batch_size=2
    )
    with open(file, "r+b") as opened:
        opened.seek(4)
        opened.write(b"\xff" * 20)
    with pytest.raises(SourceError, match="a page of column 'text'"):
        stage(file)
