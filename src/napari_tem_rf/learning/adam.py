"""Adam without PyTorch's compiler, which nothing here uses.

Methods of PyTorch's optimizers tell its compiler to leave them alone, and load it for that: two
seconds of a processor and some 65 MiB in each process that trains. Below those decorators the
methods are the same.
"""

from inspect import unwrap

import torch

__all__ = ["Adam"]


class Adam(torch.optim.Adam):
    """PyTorch's, to the last bit."""

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
