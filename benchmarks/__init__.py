"""What proves it: each benchmark measures enc against peers in one run, with the same threads and texts."""
