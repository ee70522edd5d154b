"""Prompts that a model's makers named, and families that were trained with prompts which no folder names."""

import json
import shutil

import pytest
from enc.engine.encode.checkpoint import checkpoint_of
from enc.engine.encode.prompts import FAMILIES, family_of
from enc.store import ModelError, SpecError

FILE = "config_sentence_transformers.json"
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


@pytest.fixture
def opened(tiny_bert, tmp_path):
    """A function that writes a model with prompts under a name, opens it, and gives its setting and lines."""

    def open_model(config, name="model", **asked):
        folder = tmp_path / name
        if not folder.exists():
            shutil.copytree(tiny_bert, folder)
            (folder / "modules.json").write_text(json.dumps(MODULES))
            (folder / "1_Pooling").mkdir()
            (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
        if config is not None:
            (folder / FILE).write_text(config if isinstance(config, str) else json.dumps(config))
        said = []
        spec = checkpoint_of(str(folder), say=said.append, **asked).spec
        return spec, [line.replace(str(folder), "MODEL") for line in said if "first time" not in line]

    return open_model


NAMED = {"prompts": {"query": "q: ", "passage": "p: ", "none": ""}}


def test_a_prompt_by_its_name(opened):
    spec, said = opened(NAMED, prompt="passage")
    assert (spec.prefix, len(said)) == ("p: ", 1)
    assert opened(NAMED, prompt="none")[0].prefix == ""
    assert opened(NAMED, prefix="x: ")[0].prefix == "x: "


def test_the_default_prompt_is_obeyed_and_told(opened):
    config = NAMED | {"default_prompt_name": "query"}
    spec, said = opened(config)
    assert spec.prefix == "q: "
    assert said == [
        "MODEL: mean pooling, as its modules.json says; at most 64 tokens of a text, with 'q: ' before it"
    ]
    assert opened(config, prompt="passage")[0].prefix == "p: "
    assert opened(config, prefix="")[0].prefix == ""
    assert opened(config, layers="1")[0].prefix == "q: "
    spec, said = opened(config, pooling="mean")
    assert spec.prefix == ""
    assert said == [
        "MODEL was trained with prompts, and none is used: --prompt takes query 'q: ', passage 'p: '"
    ]


def test_prompts_that_are_not_used_are_told(opened):
    _, said = opened(NAMED)
    assert said[1:] == [
        "MODEL was trained with prompts, and none is used: --prompt takes query 'q: ', passage 'p: '"
    ]
    assert len(opened(NAMED, prefix="")[1]) == 1
    many = {"prompts": {f"task{i}": f"{i}: " for i in range(9)}}
    assert opened(many)[1][1].endswith("task3 '3: ' and 5 more")
    assert len(opened({"prompts": {"query": "", "document": ""}})[1]) == 1


def test_a_family_is_told_where_the_folder_names_no_prompts(opened):
    _, said = opened(None, name="e5-small-zh")
    assert said[1:] == [
        "MODEL is of a family (E5) that was trained with 'query: ' or 'passage: ' before each text; "
        "--prefix 'query: ' suits most tasks"
    ]
    assert len(opened(None, name="e5-small-zh", prefix="query: ")[1]) == 1


@pytest.mark.parametrize(
    ("model", "title"),
    [
        ("intfloat/multilingual-e5-base", "E5"),
        ("/models/e5-small-zh/", "E5"),
        ("intfloat/multilingual-e5-large-instruct", "E5 instruct"),
        ("BAAI/bge-base-zh-v1.5", "BGE"),
        ("Snowflake/snowflake-arctic-embed-m-v2.0", "Arctic Embed 2"),
        ("Snowflake/snowflake-arctic-embed-xs", "Arctic Embed"),
        ("nomic-ai/nomic-embed-text-v1.5", "Nomic Embed"),
        ("mixedbread-ai/mxbai-embed-large-v1", "mxbai-embed"),
        ("hub/models--intfloat--e5-base-v2/snapshots/" + "0123456789" * 4, "E5"),
        ("BAAI/bge-m3", None),
        ("bert-base-chinese", None),
        ("minilm", None),
        ("/data/e5-models/my-bert", None),
        ("someone/hate5-bert", None),
    ],
)
def test_families_are_known_by_name(model, title):
    family = family_of(model)
    assert (family and family.title) == title
    assert all(len(family.remark) < 160 for family in FAMILIES)


@pytest.mark.parametrize(
    ("config", "asked", "error", "message"),
    [
        (NAMED, dict(prompt="task"), SpecError, r"has no prompt 'task' \(it has: query 'q: '; passage 'p: '"),
        (
            {},
            dict(prompt="query"),
            SpecError,
            r"no prompt 'query' \(its folder names none\); pass one of its",
        ),
        (NAMED, dict(prompt="query", prefix="x"), SpecError, "pass --prompt or --prefix, not both"),
        ({"prompts": ["q"]}, {}, ModelError, "has prompts that are no texts by name"),
        ({"prompts": {"q": 1}}, {}, ModelError, "has prompts that are no texts by name"),
        (NAMED | {"default_prompt_name": "task"}, {}, ModelError, "names the default prompt 'task', but no"),
        (NAMED | {"default_prompt_name": {}}, {}, ModelError, "names the default prompt {}, but no"),
        ("{", {}, ModelError, f"{FILE} cannot be read"),
        ("[]", {}, ModelError, f"{FILE} holds no JSON object"),
    ],
)
def test_prompts_that_cannot_be(opened, config, asked, error, message):
    with pytest.raises(error, match=message):
        opened(config, **asked)
