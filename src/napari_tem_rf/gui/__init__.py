"""The napari window: widgets, layers, overlays. Never imports torch."""
