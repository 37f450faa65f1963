"""The command line: ``napari-tem-rf COMMAND``."""

from napari_tem_rf.cli.app import main

__all__ = ["main"]
