"""How much `build_features` holds at a time, and what it counts."""

import pytest
from enc.engine import build_features
from enc.engine.encode import build
from enc.engine.encode import windows as windows_of_build
from enc.store import Source
from fakes import FakeEncoder


@pytest.fixture
def windows(monkeypatch):
    """Texts in each window that is encoded."""
    sizes, original = [], build.CollectedFeatures

    def noted(tokens, spec):
        sizes.append(len(tokens))
        return original(tokens, spec)

    monkeypatch.setattr(build, "CollectedFeatures", noted)
    return sizes


def test_a_window_is_bounded_by_its_tokens(tmp_path, write, windows, monkeypatch):
    monkeypatch.setattr(windows_of_build, "READ_ROWS", 2)
    monkeypatch.setattr(windows_of_build, "WINDOW_TOKENS", 8)
    path = write("t.tsv", "text\n" + "".join(f"a b n{i}\n" for i in range(20)))  # three tokens each
    build_features(Source(path), tmp_path / "store", FakeEncoder())
    assert windows == [4] * 5  # the second two texts make it more than eight tokens


def test_wide_texts_are_tokenized_few_at_a_time(tmp_path, write, monkeypatch):
    monkeypatch.setattr(windows_of_build, "READ_BYTES", 300)
    asked = []

    class Noting(FakeEncoder):
        def tokenize(self, texts, pairs=None):
            asked.append(len(texts))
            return super().tokenize(texts, pairs)

    path = write("t.tsv", "text\n" + "".join(f"{i % 10}{'x' * 98}{i}\n" for i in range(10, 20)))
    build_features(Source(path), tmp_path / "store", Noting())  # of 101 bytes each
    assert asked == [2] * 5


def test_the_longest_text_is_told_as_it_was_before_it_was_cut(tmp_path, write):
    path = write("t.tsv", "text\na b\n" + "word " * 30 + "\n")
    summary = build_features(Source(path), tmp_path / "store", FakeEncoder(max_length=8))
    assert (summary.longest, summary.truncated) == (30, 1)


def test_the_encoder_is_busy_while_nothing_waits_for_anything_else():
    assert build.busy_share({"encode": 6.0, "wait": 1.0, "write": 3.0, "prepare": 9.0}) == 0.6
    assert build.busy_share({"encode": 6.0}) == 1.0
    assert build.busy_share({"wait": 1.0}) == 0.0
