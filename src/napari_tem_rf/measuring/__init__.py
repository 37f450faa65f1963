"""Numbers about masks: scores, particles, contrast."""
