import pytest
from enc.engine.words.scripts import are_without_spaces
from enc.engine.words.settings import MOST_WEIGHTS, WordSettings
from enc.store import SourceError


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kind": "letters"}, "characters, words, both"),
        ({"ngrams": "3-1"}, "such as 3 or 1-3"),
        ({"ngrams": "x"}, "such as 3 or 1-3"),
        ({"min_count": 0}, "from 1 up"),
        ({"size": True}, "from 1 up"),
        ({"sizes": 3}, "no setting 'sizes'"),
    ],
)
def test_what_cannot_be_is_told(values, told):
    with pytest.raises(SourceError, match=told):
        WordSettings.of(values)


def test_what_is_not_given_follows_from_the_texts():
    assert WordSettings().for_texts(without_spaces=True, outputs=2).ngrams == (1, 3)
    other = WordSettings().for_texts(without_spaces=False, outputs=2)
    assert (other.kind, other.ngrams, other.word_ngrams) == ("both", (3, 4), (1, 2))
    assert WordSettings.of({"ngrams": "2-5"}).for_texts(without_spaces=True, outputs=2).ngrams == (2, 5)
    assert WordSettings.of({"ngrams": 2}).ngrams == (2, 2)


def test_many_labels_leave_room_for_fewer_n_grams():
    few = WordSettings().for_texts(without_spaces=True, outputs=1 << 12)
    assert few.size == MOST_WEIGHTS >> 12
    with pytest.raises(SourceError, match="size=1024 is the most"):
        WordSettings(size=2000).for_texts(without_spaces=True, outputs=1 << 12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("房间很干净 OK", True),
        ("ห้องสะอาด", True),
        ("へやがきれい", True),
        ("Комната", False),
        ("12 !", False),
    ],
)
def test_scripts_without_spaces_are_known(text, expected):
    assert are_without_spaces([text]) is expected
