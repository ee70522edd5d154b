import pytest
from enc.engine.train.columns import require_columns
from enc.store import Source, SourceError


def test_columns_that_are_there_or_not(write):
    path = write("x.tsv", "text\tlabel\nx\ta\n")
    require_columns(Source(path), ["label"])
    with pytest.raises(SourceError, match=r"column 'mood' is not in .*x.tsv \(it has: text, label\)"):
        require_columns(Source(path), ["label", "mood"])
    with pytest.raises(SourceError, match="column 'body' is not in"):
        require_columns(Source(path, text_column="body"), ["label"])
    with pytest.raises(SourceError, match="no file"):
        require_columns(Source("nowhere.tsv"), ["label"])
