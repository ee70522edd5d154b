"""Training many heads: the grid, the runs, the folds, and which of them is best."""
