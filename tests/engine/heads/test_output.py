import pytest
from enc.engine.heads.output import require_output
from enc.store import HeadError


def test_places_for_a_head(tmp_path):
    require_output(tmp_path / "new" / "head")
    (tmp_path / "empty").mkdir()
    require_output(tmp_path / "empty")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "head.json").write_text("{}")
    require_output(tmp_path / "old")


def test_places_that_are_something_else(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("dear diary")
    with pytest.raises(HeadError, match="is there and is not a head; choose another --output"):
        require_output(tmp_path / "notes")
    with pytest.raises(HeadError, match="is there and is not a head"):
        require_output(tmp_path / "notes" / "diary.txt")


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(HeadError, match="head' cannot be written"):
        require_output(tmp_path / "file" / "head")
