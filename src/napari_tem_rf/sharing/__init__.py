"""A run for others: a card in words, ONNX, and a model of the BioImage Model Zoo.

What needs torch comes from above (`napari_tem_rf.jobs.sharing`): nothing here loads it.
"""

from napari_tem_rf.sharing.bioimage import (
    BioimageRequest,
    Sample,
    bioimage_files,
    sample_micrograph,
)
from napari_tem_rf.sharing.card import model_card
from napari_tem_rf.sharing.onnx_graph import OPSET, onnx_bytes

__all__ = [
    "OPSET",
    "BioimageRequest",
    "Sample",
    "bioimage_files",
    "model_card",
    "onnx_bytes",
    "sample_micrograph",
]
