"""Training the whole model, as run_glue.py does."""
