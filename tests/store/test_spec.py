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
        weights="a", tokenizer="b", hidden_size=8, layers=(2,), pooling=("max",), max_length=9, prefix="query: ", dtype="float16"
    )
    assert changes.keys() == {f.name for f in dataclasses.fields(FeatureSpec)} - {"model"}
    digests = {fake_spec(**{name: value}).digest for name, value in changes.items()}
    assert len(digests | {spec.digest}) == len(changes) + 1


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
    with pytest.raises(SpecError, match="does not know: stride"):
        FeatureSpec.from_json(json.dumps(values | {"stride": 3}))
    with pytest.raises(SpecError, match="digest"):
        FeatureSpec.from_json(json.dumps(values | {"max_length": 99}))


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
        (dict(layers=(0,)), "from 1 up"),
        (dict(layers=()), "from 1 up"),
        (dict(dtype="int8"), "unknown dtype 'int8'"),
        (dict(max_length=2), "max_length is 2"),
    ],
)
def test_impossible_settings(changes, message):
    with pytest.raises(SpecError, match=message):
        fake_spec(**changes)


def test_differences_name_the_fields():
    assert fake_spec().differences(fake_spec(model="other")) == []
    assert fake_spec().differences(fake_spec(max_length=16, pooling=("cls",))) == [
        "pooling: mean, not cls",
        "max_length: 8, not 16",
    ]


def test_parts_of_a_setting():
    spec = fake_spec(layers=(3, 1), pooling=("cls", "mean"))
    use = spec.select(layers=[1], pooling=["mean", "cls"])
    assert (use.layers, use.pooling, use.weights) == ((1,), ("mean", "cls"), spec.weights)
    assert spec.columns(use).tolist() == [12, 13, 14, 15, 8, 9, 10, 11]
    assert spec.columns(spec).tolist() == list(range(16))
    assert spec.select() == spec
    assert spec.covers(use)
    assert not use.covers(spec)
    assert not spec.covers(fake_spec(layers=(3,), pooling=("cls",), max_length=9))
    tokens = fake_spec(layers=(1, 2), pooling=("tokens",))
    assert tokens.columns(tokens.select(layers=[2])).tolist() == [4, 5, 6, 7]
    for parts, message in ((dict(layers=[2]), "no layers 2 .they have: 3,1"), (dict(pooling=["max"]), "no pooling max")):
        with pytest.raises(SpecError, match=message):
            spec.select(**parts)
