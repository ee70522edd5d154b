"""Room: the words of texts as features, linear models on them, and their joining with a head's outputs."""
