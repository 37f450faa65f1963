"""Segment TEM images with networks chosen by receptive field and complexity.

The public names are loaded when they are first used: importing the package loads neither torch
nor Qt, and costs next to nothing when napari starts.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
