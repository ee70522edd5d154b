from enc.store import Source
from enc.store.duck import workspace
from enc.store.plan import key_sql
from enc.store.sides import encoded_texts
from enc.store.stage import stage_source


def staged(con, path, **columns):
    return stage_source(con, Source(path, text_column="a", **columns), keep_text=False)


def test_both_texts_of_each_pair_have_keys_of_single_texts(write):
    path = write("p.tsv", "a\tb\none\ttwo\n \tempty\nthree\tone\n")
    with workspace() as con:
        stage = staged(con, path, pair_column="b", pairs="separate")
        texts = encoded_texts(stage)
        rows = con.sql(f"SELECT id, text, key = {key_sql('text')} FROM {texts.name} ORDER BY id").fetchall()
    assert rows == [(0, "one", True), (1, "two", True), (4, "three", True), (5, "one", True)]
    assert (texts.ids, texts.pair_column, stage.rejected) == (6, None, 1)


def test_single_texts_and_joint_pairs_are_encoded_as_they_are(write):
    path = write("p.tsv", "a\tb\none\ttwo\n \tempty\n")
    with workspace() as con:
        stage = staged(con, path, pair_column="b")
        assert encoded_texts(stage) is stage
        assert (stage.rejected, stage.has_texts) == (0, False)
