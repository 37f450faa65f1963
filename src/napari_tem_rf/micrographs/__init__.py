"""Pixels and files: micrographs, their cleaning, their annotation, and what is written."""
