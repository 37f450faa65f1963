"""Micrographs and labels as napari layers, and back."""
