"""Reports: what runs and scored files hold, as pages that people look at."""
