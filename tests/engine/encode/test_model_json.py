import pytest
from enc.engine.encode.model_json import inner_path, read_object
from enc.store import ModelError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "config.json is missing"),
        ("{", "config.json cannot be read"),
        ("[" * 100_000, "config.json cannot be read"),
        ("[1]", "config.json holds no JSON object"),
    ],
)
def test_files_that_are_no_objects(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        read_object(tmp_path / "config.json", "config.json")


def test_paths_inside_the_folder():
    assert str(inner_path("1_Pooling", "modules.json")) == "1_Pooling"
    for path in ("../x", "/etc", "a/../../b", "a\\b", "C:x", "*", 3):
        with pytest.raises(ModelError, match=r"modules\.json has the path"):
            inner_path(path, "modules.json")
