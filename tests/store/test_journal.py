import pytest
from enc.store.journal import Journal
from hypothesis import given
from hypothesis import strategies as st

ENTRIES = [{"a": 1}, {"text": "line\nbreak ü 中文"}, {"list": [1, [2.5, None]]}]


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal")
    for entry in ENTRIES:
        made.append(entry)
    return made


def test_entries_come_back(journal):
    assert journal.entries == Journal(journal.path).entries == ENTRIES
    assert Journal(journal.path.with_name("other")).entries == []


@given(st.data())
def test_what_was_cut_off_or_changed_does_not_count_nor_what_follows(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "journal"
    journal = Journal(path)
    for entry in ENTRIES:
        journal.append(entry)
    whole = path.read_bytes()
    ends = [0, *(at + 1 for at, byte in enumerate(whole) if byte == ord("\n"))]
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    sound = sum(end <= at for end in ends) - 1
    found = Journal(path)
    assert found.entries == ENTRIES[:sound]
    found.append({"next": True})
    assert Journal(path).entries == [*ENTRIES[:sound], {"next": True}]
