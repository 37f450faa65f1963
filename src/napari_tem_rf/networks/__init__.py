"""Arithmetic on networks: what they are, what they see, which ones there are."""
