"""Pairs of texts that were encoded apart: what a head sees of both together."""
