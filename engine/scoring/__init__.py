"""Room: rows in, the same rows with predictions out."""
