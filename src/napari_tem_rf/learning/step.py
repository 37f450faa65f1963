"""One step of Adam: the loss on annotated pixels, and agreement on the others."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_tem_rf.learning.adam import Adam
from napari_tem_rf.learning.crops import Batch
from napari_tem_rf.learning.device import computing_threads
from napari_tem_rf.learning.fast.network import threads_for
from napari_tem_rf.learning.network import Network
from napari_tem_rf.micrographs.annotation import NOT_ANNOTATED
from napari_tem_rf.protocol import Frozen, TrainingPlan

__all__ = ["RunningAverage", "Stepper", "class_weights", "freeze"]

MOST_GRADIENT = 5.0
"""Norm to which a larger gradient is cut: one odd crop must not throw the training off.

The paper's preset cuts none.
"""

GENTLE = 1 / 3
"""Factor on the step size of a network that starts from trained weights."""

FUSED_ON = ("cpu", "cuda")
"""Devices on which torch makes a step of all weights at once."""

SURE = 0.9
"""Probability above which the averaged network teaches pixels that are not annotated."""


@dataclass(frozen=True, slots=True, eq=False)
class Stepper:
    """Makes the steps of a training.

    Attributes
    ----------
    network : Network
        It is trained in place.
    optimizer : Adam
    weight : Tensor
        Weight of each class in the loss.
    most_gradient : float
        Norm to which a larger gradient is cut.
    gentle : bool
        Keep the statistics of the batch norms: few strokes would move them towards themselves.
    teacher : Network, optional
        Averaged network. What it is sure of on pixels without annotation is taught too: the network
        sees crops under ever-changing symmetries, contrasts and noise, and has to agree with it.
    agreement : float
        Weight of that part of the loss.

    References
    ----------
    .. [1] A. Tarvainen, H. Valpola, Mean teachers are better role models, NeurIPS (2017),
       arXiv:1703.01780.
    .. [2] K. Sohn et al., FixMatch, NeurIPS (2020), arXiv:2001.07685: only what is sure counts.
    """

    network: Network
    optimizer: Adam
    weight: Tensor
    most_gradient: float
    gentle: bool = False
    teacher: Network | None = None
    agreement: float = 0.0

    @classmethod
    def of(
        cls,
        network: Network,
        averaged: Network,
        plan: TrainingPlan,
        weight: Tensor,
        gentle: bool,
        sparse: bool,
    ) -> "Stepper":
        """Return what makes the steps of a plan; ``sparse``: most pixels are not annotated."""
        taught = gentle and sparse and plan.agreement > 0
        return cls(
            network,
            Adam(
                network.parameters(),
                lr=plan.learning_rate * (GENTLE if gentle else 1),
                fused=weight.device.type in FUSED_ON,
            ),
            weight,
            math.inf if plan.preset == "sytwu2022" else MOST_GRADIENT,
            gentle,
            averaged if taught else None,
            plan.agreement,
        )

    def step(self, crops: Batch, most: int) -> Tensor:
        """Make a step and return its loss; at most ``most`` crops are computed at once."""
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d) and (self.gentle or is_frozen(module)):
                module.eval()
        self.optimizer.zero_grad(set_to_none=True)
        device = self.weight.device
        counted = max(1, int((crops.labels != NOT_ANNOTATED).sum()))
        total = torch.zeros((), device=device)
        for first in range(0, len(crops.images), most):
            images = torch.from_numpy(crops.images[first : first + most]).to(device)
            labels = torch.from_numpy(crops.labels[first : first + most]).to(device)
            images = images.contiguous(memory_format=torch.channels_last)
            taught = self._taught(images, labels)
            with threads_for(self.network, images):
                logits = self.network(images)
                loss = _summed_loss(logits, labels, self.weight) / counted
                total += loss.detach()
                if taught is not None:
                    part = self.agreement / crops.labels.size
                    loss = loss + part * _summed_loss(logits, taught)
                loss.backward()
        with computing_threads(1 if device.type == "cpu" else None):  # too little for more
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.most_gradient)
            self.optimizer.step()
        return total

    def _taught(self, images: Tensor, labels: Tensor) -> Tensor | None:
        """Return the classes that the teacher is sure of on pixels that are not annotated."""
        if self.teacher is None:
            return None
        self.teacher.eval()
        with torch.no_grad():
            probability, taught = self.teacher(images).softmax(1).max(1)
        taught[(probability < SURE) | (labels != NOT_ANNOTATED)] = NOT_ANNOTATED
        return taught


def freeze(network: Network, frozen: Frozen) -> None:
    """Let a part of a network keep its weights; the batch norms of it keep their statistics too."""
    parts = {
        "nothing": (),
        "encoder": (network.encoder, network.bottleneck),
        "decoder": (network.decoder,),
    }
    for part in parts[frozen]:
        part.requires_grad_(False)


def is_frozen(module: nn.Module) -> bool:
    """Return whether a module keeps its weights in a training."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def _summed_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    return functional.cross_entropy(
        logits, labels, weight, ignore_index=NOT_ANNOTATED, reduction="sum"
    )


def class_weights(counts: NDArray[np.int64], balanced: bool) -> Tensor:
    """Return a weight per class with mean 1 over the pixels: inverse root of its frequency."""
    share = counts / max(1, counts.sum())
    weights = np.where(share > 0, 1 / np.sqrt(np.maximum(share, 1e-6)), 0)
    if not balanced:
        weights = np.ones_like(share)
    return torch.tensor(weights / (weights * share).sum(), dtype=torch.float32)


class RunningAverage:
    """Average of a network's weights over its steps, kept in another network.

    Parameters
    ----------
    averaged, network : Network
        Both keep their tensors: what is loaded into them is loaded in place.
    decay : float
        Share of the average that each step keeps; 0 keeps the weights of the last step.
    """

    def __init__(self, averaged: Network, network: Network, decay: float) -> None:
        self._decay = decay
        pairs = list(
            zip(averaged.state_dict().values(), network.state_dict().values(), strict=True)
        )
        self._weights = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        self._counts = [pair for pair in pairs if not pair[0].dtype.is_floating_point]

    def move(self, steps: int) -> None:
        """Move towards the weights; quickly at first, when they still travel."""
        move = get_ema_multi_avg_fn(min(self._decay, steps / (steps + 10)) if self._decay else 0.0)
        with torch.no_grad():
            move([mean for mean, _ in self._weights], [now for _, now in self._weights], steps)
            for mean, now in self._counts:
                mean.copy_(now)
