"""From texts to a feature table: tokens, the seam at which backends differ, a model's files, and the build."""
