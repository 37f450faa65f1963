import numpy as np
import pytest
import torch

from napari_tem_rf.learning.effective_field import effective_field, mean_effective_field, prepared
from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec


def network_of(spec, seed=752):
    torch.manual_seed(seed)
    return Network(spec).double().eval()


def image_of(shape, seed=2245):
    return np.random.default_rng(seed).standard_normal(shape)


def margin(network, image, at):
    with torch.no_grad():
        logits = network(torch.as_tensor(image)[None, None])[0, :, at[0], at[1]]
    largest, second = torch.topk(logits, 2).values
    return float(largest - second)


def whole_image_gradient(network, image, at):
    x = torch.as_tensor(image)[None, None].requires_grad_(True)
    logits = network(x)[0, :, at[0], at[1]]
    largest, second = torch.topk(logits, 2).values
    (gradient,) = torch.autograd.grad(largest - second, x)
    return gradient[0, 0].abs().numpy()


def placed(field, shape):
    whole = np.zeros(shape, np.float32)
    rows, columns = field.heat.shape
    top, left = field.origin
    whole[top : top + rows, left : left + columns] = field.heat
    return whole


def test_agrees_with_finite_differences():
    spec = NetworkSpec(pools=(2,), filters=2, classes=3)
    network, image, at = network_of(spec), image_of((29, 23)), (13, 10)
    field = effective_field(network, receptive_field(spec), image, at)
    step = 1e-6
    differences = np.zeros(image.shape)
    for row, column in np.ndindex(image.shape):
        change = np.zeros(image.shape)
        change[row, column] = step
        differences[row, column] = abs(
            margin(network, image + change, at) - margin(network, image - change, at)
        ) / (2 * step)
    np.testing.assert_allclose(placed(field, image.shape), differences, atol=1e-6)
    assert field.total == pytest.approx(differences.sum(), rel=1e-5)


@pytest.mark.parametrize("at", [(0, 0), (53, 61), (126, 100), (60, 3), (77, 100)])
@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(pools=(4, 2), filters=3),
        NetworkSpec(pools=(2, 3), dilations=(1, 2, 1), filters=3),
        NetworkSpec(pools=(), dilations=(3,), filters=3),
    ],
    ids=str,
)
def test_crop_gives_the_gradient_of_the_whole_image(spec, at):
    network, image = network_of(spec), image_of((127, 101))
    field = effective_field(network, receptive_field(spec), image, at)
    whole = whole_image_gradient(network, image, at)
    np.testing.assert_allclose(placed(field, image.shape), whole, rtol=1e-6, atol=1e-12)
    # rest of the image: exactly no gradient, which the crop could not have seen
    assert np.count_nonzero(whole) == np.count_nonzero(whole * (placed(field, image.shape) > 0))


def test_field_larger_than_the_image_is_the_whole_image():
    spec = NetworkSpec(pools=(8, 4), filters=2)
    image = image_of((47, 53))
    field = effective_field(network_of(spec), receptive_field(spec), image, (20, 31))
    assert field.origin == (0, 0)
    assert field.heat.shape == (47, 53)


@pytest.mark.parametrize("filters", [3, 9])
def test_prepared_network_gives_the_same_field(filters):
    spec = NetworkSpec(pools=(2, 4), filters=filters)
    network, image = network_of(spec), image_of((79, 83))
    torch.nn.init.uniform_(network.encoder[0].norm1.running_mean, -0.5, 0.5)
    plain = effective_field(network, receptive_field(spec), image, (31, 40))
    fast = effective_field(prepared(network), receptive_field(spec), image, (31, 40))
    np.testing.assert_allclose(fast.heat, plain.heat, rtol=1e-5, atol=1e-9)
    again = effective_field(prepared(prepared(network)), receptive_field(spec), image, (31, 40))
    np.testing.assert_array_equal(again.heat, fast.heat)


def test_network_keeps_the_mode_it_was_in():
    spec = NetworkSpec(pools=(2,), filters=2)
    network = network_of(spec).train()
    before = network.encoder[0].norm1.running_mean.clone()
    effective_field(network, receptive_field(spec), image_of((31, 37)), (5, 6))
    assert network.training
    torch.testing.assert_close(network.encoder[0].norm1.running_mean, before)


def test_mean_of_pixels_is_the_mean_of_their_fields():
    spec = NetworkSpec(pools=(2, 2), filters=2)
    network, field, image = network_of(spec), receptive_field(spec), image_of((83, 79))
    at = [(40, 40), (41, 35), (2, 77)]
    mean = mean_effective_field(network, field, image, at)
    singles = [effective_field(network, field, image, each) for each in at]
    assert mean.pixels == 3
    assert mean.total == pytest.approx(np.mean([single.total for single in singles]), rel=1e-5)
    # the output pixels lie over each other: the middle is the mean of their own influence
    own = [s.heat[s.at[0] - s.origin[0], s.at[1] - s.origin[1]] for s in singles]
    assert mean.heat[mean.at] == pytest.approx(np.mean(own), rel=1e-5)


def test_mean_can_be_stopped_and_says_over_how_many():
    spec = NetworkSpec(pools=(2,), filters=2)
    mean = mean_effective_field(
        network_of(spec),
        receptive_field(spec),
        image_of((31, 37)),
        [(10, 10), (11, 11), (12, 12)],
        stopped=lambda: True,
    )
    assert mean.pixels == 1


def test_mean_of_nothing_is_refused():
    spec = NetworkSpec(pools=(2,), filters=2)
    with pytest.raises(ValueError, match="no pixels"):
        mean_effective_field(network_of(spec), receptive_field(spec), image_of((31, 37)), [])
