import pytest
from enc.store import Source
from first_passes import job_of


@pytest.fixture
def files(write, tmp_path):
    """Files of two formats, with texts that are in both, and rows that are no texts."""
    write(
        "a.tsv", "text\tlabel\n" + "".join(f"x{'x' * (i % 200)} {i % 9}\t1\n" for i in range(900)) + "\t1\n"
    )
    write("b.csv", 'text,label\n"xx 1",1\nodd\n"x, y",2\n,3\n"xx 1",4\n')
    return [tmp_path / "a.tsv", tmp_path / "b.csv"]


@pytest.fixture
def job(files, tmp_path):
    return job_of(Source(files), tmp_path / "store")
