"""Heads and fine-tuned models for the hub: what of their folders goes there, and the page about them."""
