"""Room: a head chosen without an expert: candidates, cheapest first, judged by folds within a time."""
