"""Training one head: its configuration, its rows, the loop, and the solver."""
