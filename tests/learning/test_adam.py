"""The optimizer is PyTorch's."""

import copy

import torch
from torch import nn

from napari_tem_rf.learning.adam import Adam


def trained(kind, steps=12, broken_at=None):
    """Return weights and the state of the optimizer after some steps of a small network."""
    torch.manual_seed(752)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    images = torch.randn(steps, 1, 11, 13)
    optimizer = kind(network.parameters(), lr=3e-3)
    for number in range(steps):
        if number == broken_at:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = kind(network.parameters(), lr=1.0)
            optimizer.load_state_dict(state)
        optimizer.zero_grad(set_to_none=True)
        network(images[number : number + 1]).square().mean().backward()
        optimizer.step()
    return network.state_dict(), optimizer.state_dict()


def test_it_is_pytorchs_to_the_last_bit_and_so_is_what_it_keeps():
    weights, state = trained(torch.optim.Adam)
    for ours, its_state in (trained(Adam), trained(Adam, broken_at=5)):
        assert all(torch.equal(ours[name], weights[name]) for name in weights)
        assert its_state["param_groups"] == state["param_groups"]
        for number, kept in state["state"].items():
            mine = its_state["state"][number]
            assert mine.keys() == kept.keys()
            assert all(torch.equal(mine[name], kept[name]) for name in kept)
    # what one of them kept, the other goes on from
    theirs = torch.optim.Adam([nn.Parameter(each.clone()) for each in weights.values()])
    theirs.load_state_dict(trained(Adam)[1])
    assert theirs.param_groups[0]["lr"] == 3e-3


def test_a_step_is_no_part_of_a_gradient():
    weight = nn.Parameter(torch.ones(3))
    optimizer = Adam([weight])
    weight.sum().backward()
    optimizer.step()
    assert weight.is_leaf
    assert weight.grad_fn is None
