"""Room: rows in, the same rows with their features out."""
