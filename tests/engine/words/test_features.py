"""Word features, against scikit-learn's own."""

import numpy as np
import pytest
from enc.engine.words.features import fit_features
from enc.engine.words.settings import WordSettings
from enc.engine.words.texts import Texts
from enc.store import SourceError
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer

ENGLISH = ["I saw a good film", "A good, good film!", "we saw I film", "5 films I saw", ""]
CHINESE = ["房间很干净", "房间不干净。", "服务很好，干净", "服务不好"]
WORDS = TfidfVectorizer(
    analyzer="word", ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, min_df=2
)
IN_WORDS = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True, min_df=2)
CHARACTERS = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)


@pytest.mark.parametrize(("texts", "peers"), [(ENGLISH, [WORDS, IN_WORDS]), (CHINESE, [CHARACTERS])])
def test_features_are_scikit_learns_own(texts, peers):
    features, matrix = fit_features(Texts.of(texts), WordSettings(), 2)
    expected = hstack([peer.fit_transform(texts) for peer in peers]).toarray()
    np.testing.assert_array_equal(matrix.toarray(), expected)
    # Once fitted, scikit-learn sums a text's squares in another order than while it fits.
    known = hstack([peer.transform(texts) for peer in peers]).toarray()
    np.testing.assert_array_equal(features.matrix(Texts.of(texts)).toarray(), known)
    others = ["a film 干净", "nothing known", ""]
    unseen = hstack([peer.transform(others) for peer in peers]).toarray()
    np.testing.assert_array_equal(features.matrix(Texts.of(others)).toarray(), unseen)


def test_each_side_of_a_pair_has_columns_of_its_own():
    features, matrix = fit_features(Texts.of(ENGLISH, ENGLISH[::-1]), WordSettings(kind="words"), 2)
    peer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, min_df=2).fit(
        [*ENGLISH, *ENGLISH[::-1]]
    )
    expected = np.hstack([peer.transform(side).toarray() for side in (ENGLISH, ENGLISH[::-1])])
    np.testing.assert_allclose(matrix.toarray(), expected, rtol=1e-12)
    again = features.matrix(Texts.of(ENGLISH, ENGLISH[::-1]))
    np.testing.assert_array_equal(again.toarray(), expected)
    assert features.width == expected.shape[1]
    assert features.title == "TF-IDF of words 1-2"


def test_size_and_counts_are_kept():
    features, _ = fit_features(Texts.of(CHINESE), WordSettings(size=3, min_count=1), 2)
    assert features.width == 3
    with pytest.raises(SourceError, match="min_count=1"):
        fit_features(Texts.of(CHINESE), WordSettings(min_count=9), 2)
