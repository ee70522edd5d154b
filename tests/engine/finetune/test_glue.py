"""The table of tasks and their files."""

import pytest
from enc.engine.finetune.glue import GLUE, glue_task
from enc.store import SourceError
from glue_files import FORMATS, write_task


def test_there_is_a_format_for_each_of_the_nine():
    assert set(FORMATS) == set(GLUE)


def test_a_task_has_several_names():
    assert glue_task("STS-B") is glue_task("stsb")
    with pytest.raises(SourceError, match="unknown task 'squad'; there are cola, sst2"):
        glue_task("squad")


@pytest.mark.parametrize("name", GLUE)
def test_its_files_are_found_in_both_places(tmp_path, name):
    place = write_task(tmp_path, name)
    for folder in (tmp_path, place):
        assert GLUE[name].file(folder, "train") == place / "train.tsv"
        assert GLUE[name].file(folder, "dev").parent == place
