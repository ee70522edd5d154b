"""Vectors that another tool made, taken into a store as a feature set of their own kind."""
