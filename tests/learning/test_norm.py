"""Against torch's own batch norm, in double precision and contiguous."""

import copy

import pytest
import torch
from torch import nn

from napari_tem_rf.learning import norm
from napari_tem_rf.learning.norm import Norm


def pair(channels):
    """Return our norm and torch's with the same weights, in training."""
    torch.manual_seed(752)
    ours, theirs = Norm(channels), nn.BatchNorm2d(channels)
    nn.init.uniform_(theirs.weight, 0.5, 1.5)
    nn.init.uniform_(theirs.bias, -0.5, 0.5)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs.double()


def maps(shape, layout=torch.channels_last):
    values = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(2245)) + 2
    return values.contiguous(memory_format=layout)


@pytest.mark.parametrize("shape", [(3, 4, 32, 16), (1, 2, 7, 11), (5, 7, 6, 10), (2, 3, 1, 5)])
def test_maps_gradients_and_statistics_are_those_of_torch(shape):
    ours, theirs = pair(shape[1])
    gradient = maps(shape) ** 2
    for step in range(3):
        x, y = maps(shape) + step, maps(shape).double().contiguous() + step
        x.requires_grad_(), y.requires_grad_()
        assert norm._is_slow(x)
        result, expected = ours(x).relu_(), theirs(y).relu_()
        assert result.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(result, expected.float(), atol=2e-6, rtol=1e-5)
        result.backward(gradient)
        expected.backward(gradient.double())
        torch.testing.assert_close(x.grad, y.grad.float(), atol=2e-5, rtol=1e-5)
    for name, parameter in theirs.named_parameters():
        assert parameter.grad.abs().max() > 1
        given = ours.get_parameter(name).grad
        torch.testing.assert_close(given, parameter.grad.float(), atol=1e-3, rtol=1e-5)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(
            ours.state_dict()[name], value.to(ours.state_dict()[name].dtype), atol=1e-5, rtol=1e-5
        )


def test_derivatives_are_right():
    ours = Norm(3).double()
    x = maps((2, 3, 3, 4)).double().contiguous(memory_format=torch.channels_last)
    arguments = (x.requires_grad_(), ours.weight, ours.bias)

    def normalised(x, weight, bias):
        return norm._Normalised.apply(x, weight, bias, 1e-5)[0]

    assert torch.autograd.gradcheck(normalised, arguments, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((2, 8, 6, 5), torch.channels_last), ((2, 4, 6, 5), torch.contiguous_format)],
)
def test_torchs_own_where_it_is_as_fast(shape, layout):
    x = maps(shape, layout)
    assert not norm._is_slow(x)
    ours, _ = pair(shape[1])
    theirs = nn.BatchNorm2d(shape[1])
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(x), theirs(x))


def test_prediction_takes_the_running_statistics():
    ours, theirs = pair(4)
    ours(maps((2, 4, 6, 5)))
    ours.eval()
    before = copy.deepcopy(ours.state_dict())
    x = maps((1, 4, 6, 5))
    theirs.load_state_dict(before)
    torch.testing.assert_close(ours(x), theirs.eval()(x.double()).float())
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_more_accurate_than_torchs_own():
    """A map of 300 x 400 px: 1e-4 of error where each channel's numbers are added up in turn."""
    x = maps((3, 4, 300, 400))
    ours, theirs = pair(4)
    assert (ours(x) - theirs(x.double())).abs().max() < 5e-6
