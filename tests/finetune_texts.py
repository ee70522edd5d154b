"""Words that say which label a text of the tests has."""

WORDS = {"0": ["bad", "no", "don't"], "1": ["good", "hot", "yes"]}
