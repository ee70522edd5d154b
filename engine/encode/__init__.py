"""From texts to a feature table: tokens, the seam of the backends, a model's files, and the build."""
