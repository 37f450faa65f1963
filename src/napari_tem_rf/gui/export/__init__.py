"""Masks written to files."""
