import dataclasses
import hashlib
import json

import pytest
from enc.store import FeatureSpec, SpecError
from fakes import fake_spec


def test_digest_covers_what_changes_the_numbers():
    spec = fake_spec()
    assert fake_spec(model="elsewhere").digest == spec.digest
    changes = dict(
        weights="a",
        tokenizer="b",
        hidden_size=8,
        layers=(2,),
        pooling=("max",),
        max_length=9,
        prefix="query: ",
        dtype="float16",
        precision="int8",
        long_text="windows",
        first_characters=32,
        special_tokens=False,
        padding_side="left",
        attention_mask=False,
        after_pooling=("normalize",),
        lowercase=True,
        imported="text-embedding",
    )
    assert changes.keys() == {f.name for f in dataclasses.fields(FeatureSpec)} - {
        "model",
        "stride",
        "token_layout",
    }
    digests = {fake_spec(**{name: value}).digest for name, value in changes.items()}
    digests.add(fake_spec(long_text="windows", stride=2).digest)
    digests.add(fake_spec(pooling=("tokens",), token_layout="ragged").digest)
    assert len(digests | {spec.digest}) == len(changes) + 3


def test_digest_is_stable():
    # Stores outlive releases: this is the format.
    canonical = (
        '{"dtype":"float32","hidden_size":4,"layers":[1],"max_length":8,"pooling":["mean"],'
        f'"tokenizer":"{"1" * 64}","weights":"{"0" * 64}"}}'
    )
    assert fake_spec().digest == hashlib.sha256(canonical.encode()).hexdigest()


def test_fields_at_their_default_are_not_in_the_digest():
    @dataclasses.dataclass(frozen=True)
    class LaterSpec(FeatureSpec):
        new_field: int = 0

    values = dataclasses.asdict(fake_spec())
    assert LaterSpec(**values).digest == fake_spec().digest
    assert LaterSpec(**values, new_field=1).digest != fake_spec().digest


def test_json_round_trip():
    spec = fake_spec(pooling=("mean", "max"), layers=(1, 2), prefix="查询：")
    assert FeatureSpec.from_json(spec.to_json()) == spec


def test_json_of_another_release_or_hand_is_refused():
    values = json.loads(fake_spec().to_json())
    with pytest.raises(SpecError, match="does not know: dilation"):
        FeatureSpec.from_json(json.dumps(values | {"dilation": 3}))
    with pytest.raises(SpecError, match="digest"):
        FeatureSpec.from_json(json.dumps(values | {"max_length": 99}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 2}, "--long-text windows"),
        ({"long_text": "windows", "stride": 5}, "share 0 to 4"),
        ({"long_text": "windows", "pooling": ("tokens",)}, "can be pooled"),
        ({"long_text": "windows", "padding_side": "left"}, "padding on the right"),
        ({"long_text": "fold"}, "unknown long_text 'fold'; there are truncate, windows"),
        ({"precision": "fp8"}, "unknown precision"),
    ],
)
def test_impossible_settings(changes, message):
    with pytest.raises(SpecError, match=message):
        fake_spec(**changes)


def test_setting_makes_the_same_spec_again():
    spec = fake_spec(long_text="windows", stride=2, prefix="q", layers=(2, 1))
    assert fake_spec(**spec.setting) == spec


def test_shapes_and_parts():
    assert fake_spec().shape == (4,)
    spec = fake_spec(layers=(3, 1), pooling=("cls", "mean"))
    assert spec.shape == (16,)
    assert spec.parts == ((3, "cls"), (3, "mean"), (1, "cls"), (1, "mean"))
    assert fake_spec(layers=(1, 2), pooling=("tokens",)).shape == (8, 8)
    assert fake_spec(dtype="float16").row_bytes == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(pooling=("median",)), "unknown pooling 'median'"),
        (dict(pooling=("mean", "mean")), "once each"),
        (dict(pooling=("mean", "tokens")), "cannot be combined"),
        (dict(layers=(-1,)), "from 0 up"),
        (dict(layers=()), "from 0 up"),
        (dict(dtype="int8"), "unknown dtype 'int8'"),
        (dict(max_length=2), "max_length is 2"),
    ],
)
def test_unknown_names_and_shapes(changes, message):
    with pytest.raises(SpecError, match=message):
        fake_spec(**changes)


def test_differences_name_the_fields():
    assert fake_spec().differences(fake_spec(model="other")) == []
    assert fake_spec().differences(fake_spec(max_length=16, pooling=("cls",))) == [
        "pooling: mean, not cls",
        "max_length: 8, not 16",
    ]


def test_a_selection_is_slices_of_the_last_axis():
    spec = fake_spec(layers=(3, 1, 2), pooling=("cls", "mean"))  # 3 cls, 3 mean, 1 cls, 1 mean, 2 cls, 2 mean
    assert spec.slices(spec) == [slice(0, 24)]
    assert spec.slices(spec.select(layers=[1, 2])) == [slice(8, 24)]
    assert spec.slices(spec.select(layers=[2, 1], pooling=["mean"])) == [slice(20, 24), slice(12, 16)]
    assert spec.select() == spec
    tokens = fake_spec(layers=(5, 6), pooling=("tokens",))
    assert tokens.select(layers=[6]).shape == (8, 4)
    assert tokens.slices(tokens.select(layers=[6])) == [slice(4, 8)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(layers=[1, 7, 8]), r"layer 7,8 is not among the stored features \(they have 1,2\)"),
        (dict(pooling=["cls"]), r"pooling cls is not among the stored features \(they have mean,max\)"),
        (dict(layers=[]), "layers must be distinct"),
    ],
)
def test_what_is_not_stored_cannot_be_selected(options, message):
    with pytest.raises(SpecError, match=message):
        fake_spec(layers=(1, 2), pooling=("mean", "max")).select(**options)


def dense(width: int, digit: str = "a", activation: str = "tanh") -> str:
    return f"dense:{width}:{activation}:{digit * 64}"


def test_steps_after_pooling_make_the_shape_and_the_digest():
    spec = fake_spec(after_pooling=[dense(6), "normalize"])
    assert spec.shape == (6,)
    assert fake_spec(pooling=("cls", "mean"), after_pooling=["normalize"]).shape == (8,)
    assert spec.digest != fake_spec(after_pooling=[dense(6, "b"), "normalize"]).digest
    assert spec.digest != fake_spec(after_pooling=["normalize", dense(6)]).digest
    assert FeatureSpec.from_json(spec.to_json()) == spec
    assert fake_spec(**spec.setting) == spec


def test_a_setting_without_steps_is_what_it_was_before_there_were_any():
    values = json.loads(fake_spec().to_json())
    for later in ("after_pooling", "lowercase"):
        del values[later]
    assert FeatureSpec.from_json(json.dumps(values)) == fake_spec()


def test_a_vector_that_went_through_steps_has_no_parts():
    spec = fake_spec(layers=(1, 2), pooling=("cls", "mean"), after_pooling=["normalize"])
    assert spec.select() == spec
    assert spec.slices(spec) == [slice(0, 16)]
    with pytest.raises(SpecError, match=r"have no parts; build a feature set with --pooling cls,mean"):
        spec.select(layers=[2])
    assert spec.covers(spec)
    assert not spec.covers(fake_spec(layers=(2,), pooling=("cls",)))
    assert not fake_spec(layers=(1, 2), pooling=("cls", "mean")).covers(spec)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["whiten"], "unknown step 'whiten' after pooling; there are normalize and dense"),
        ([dense(0)], "unknown step 'dense:0"),
        ([dense(4, activation="sine")], "unknown step 'dense:4:sine"),
        ([dense(4, "a") + "a"], "unknown step"),
    ],
)
def test_unknown_steps(steps, message):
    with pytest.raises(SpecError, match=message):
        fake_spec(after_pooling=steps)


def test_tokens_are_not_normalized():
    with pytest.raises(SpecError, match="pooling 'tokens' has none"):
        fake_spec(pooling=("tokens",), after_pooling=["normalize"])


def test_differences_show_digests_short():
    differences = fake_spec(after_pooling=[dense(4)]).differences(fake_spec())
    assert differences == ["after_pooling: dense:4:tanh:aaaaaaaaaaaa…, not none"]
