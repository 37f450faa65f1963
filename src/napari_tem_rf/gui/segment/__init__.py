"""The TEM segmentation dock: the way from image to mask."""
