"""Several processes that build shares of one source: on this machine, or as Ray tasks."""
