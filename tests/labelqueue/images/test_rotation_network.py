"""The rotation network: it learns, it is reproducible, and it never gives features it has not learned."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from labelqueue.demo.drawing import draw_images
from labelqueue.exceptions import EmbedderError
from labelqueue.images.rotation_network import PREPROCESSING, RotationNet, small_cnn, train_rotation
from labelqueue.pixels.decoding import decode

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def landscapes():
    """200 images (200, 32, 32, 3) that have an up and a down: bright skies with a sun above dark textured ground."""
    rng = np.random.default_rng(0)
    images = rng.normal(0, 12, (200, 32, 32, 3))
    rows, columns = np.mgrid[:32, :32]
    for image in images:
        horizon = rng.integers(10, 22)
        image += np.where((rows < horizon)[..., None], rng.uniform(120, 220, 3), rng.uniform(20, 110, 3))
        x, y = rng.uniform(4, 28), rng.uniform(2, horizon - 4)
        image[(rows - y) ** 2 + (columns - x) ** 2 < 9] = 250
    return np.clip(images, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def net(landscapes):
    return train_rotation(landscapes, epochs=4, seed=3)


def test_it_learns_which_way_up_images_are(net):
    assert (net.epochs, net.seed, net.images, net.image_size) == (4, 3, 200, 32)
    assert net.accuracy is not None and net.accuracy > 0.7  # guessing: 0.25


def test_drawn_photographs_teach_it_more_than_guessing():
    drawn = np.stack([decode(image.data, 32) for image in draw_images(150)])
    assert train_rotation(drawn, epochs=6, seed=0).accuracy > 0.4


def test_noise_teaches_it_nothing_and_it_says_so():
    noise = np.random.default_rng(1).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    assert train_rotation(noise, epochs=2, seed=0).accuracy < 0.45


def test_every_image_comes_in_its_four_rotations_each_under_its_own_name(landscapes):
    """Eq. 1: the minibatch whose mean cross-entropy is the loss."""
    from labelqueue.images.rotation_network import _normalized, _rotations

    turned, angles = _rotations(_normalized(landscapes[:5]))
    assert turned.shape == (20, 3, 32, 32)
    for row, angle in enumerate(angles.tolist()):
        upright = torch.rot90(turned[row], -angle, dims=(1, 2))
        np.testing.assert_array_equal(upright.numpy(), turned[row % 5].numpy())
    assert angles.bincount().tolist() == [5, 5, 5, 5]
    # Red stays red: channel c of the tensor is channel c of the pixels.
    pixels = (turned[0].permute(1, 2, 0).numpy() * 64 + 127.5).round().astype(np.uint8)
    np.testing.assert_array_equal(pixels, landscapes[0])


def test_features_are_those_of_the_image_as_it_is(net, landscapes):
    features = net.features(landscapes[:8])
    assert features.shape == (8, net.dim) and features.dtype == np.float32 and np.isfinite(features).all()
    turned = net.features(np.ascontiguousarray(np.rot90(landscapes[:8], 1, axes=(1, 2))))
    mirrored = net.features(np.ascontiguousarray(landscapes[:8, :, ::-1]))
    assert np.abs(turned - features).max() > 0.1 and np.abs(mirrored - features).max() > 0.01
    logits = net._network[-1](torch.from_numpy(features)).argmax(1)
    assert (logits == 0).float().mean() > 0.5  # it sees that they stand upright


def test_features_do_not_depend_on_companions(net, landscapes):
    everything = net.features(landscapes)
    np.testing.assert_array_equal(net.features(landscapes[37:40]), everything[37:40])
    np.testing.assert_array_equal(net.features(landscapes[::-1].copy())[::-1], everything)
    assert net.features(landscapes[:0]).shape == (0, net.dim)


def test_the_same_images_and_seed_give_the_same_network(net, landscapes):
    before = torch.random.get_rng_state()
    again = train_rotation(landscapes, epochs=4, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert again.to_bytes() == net.to_bytes() and again.fingerprint() == net.fingerprint()
    other = train_rotation(landscapes[:40], epochs=1, seed=4)
    assert other.fingerprint() != train_rotation(landscapes[:40], epochs=1, seed=5).fingerprint()


def test_round_trip(net, landscapes):
    again = RotationNet.from_bytes(net.to_bytes())
    assert again.fingerprint() == net.fingerprint() and len(net.fingerprint()) == 32
    assert (again.epochs, again.seed, again.images, again.accuracy) == (4, 3, 200, net.accuracy)
    np.testing.assert_array_equal(again.features(landscapes), net.features(landscapes))
    vectors, patterns, offsets = again.embed(landscapes[:3], n_patterns=1)
    np.testing.assert_array_equal(vectors, net.features(landscapes[:3]).astype(np.float16))
    np.testing.assert_array_equal(patterns, vectors)
    assert offsets.tolist() == [0, 1, 2, 3]
    with pytest.raises(EmbedderError, match="n_patterns=5"):
        again.embed(landscapes[:3], n_patterns=5)


def test_an_untrained_network_is_refused(landscapes):
    fresh = RotationNet(32)
    with pytest.raises(EmbedderError, match="never trained"):
        fresh.features(landscapes)
    with pytest.raises(EmbedderError, match="never trained"):
        RotationNet.from_bytes(fresh.to_bytes())


def forged(net, **changes):
    """The bytes of a network with another record or other weights."""
    data = net.to_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    record = json.loads(header["__metadata__"]["labelqueue_rotation"])
    tensors = load(data)
    if changes.pop("drop", False):
        tensors.pop(sorted(tensors)[0])
    return bytes(save(tensors, metadata={"labelqueue_rotation": json.dumps(record | changes)}))


def test_damaged_files_are_refused(net):
    data = net.to_bytes()
    for wrong in (b"", data[:-9], save(load(data)), forged(net, drop=True), forged(net, image_size=64)):
        with pytest.raises(EmbedderError, match=r"cannot be read .*--retrain"):
            RotationNet.from_bytes(bytes(wrong))
    with pytest.raises(EmbedderError, match=rf"version \(0, {PREPROCESSING}\)"):
        RotationNet.from_bytes(forged(net, architecture=0))


def test_what_cannot_be_trained_is_refused(landscapes):
    with pytest.raises(EmbedderError, match="19 images are too few"):
        train_rotation(landscapes[:19])
    with pytest.raises(EmbedderError, match="epochs=0"):
        train_rotation(landscapes, epochs=0)
    with pytest.raises(EmbedderError, match="image size 40"):
        train_rotation(np.zeros((30, 40, 40, 3), np.uint8))
    with pytest.raises(ValueError, match="float64"):
        train_rotation(landscapes.astype(np.float64))


def test_progress_counts_every_image_of_every_epoch(landscapes):
    seen = []
    train_rotation(landscapes[:45], epochs=3, progress=seen.append)
    assert sum(seen) == 3 * 45


@pytest.mark.parametrize("size", [16, 32, 48, 64, 128])
def test_every_allowed_size_has_a_network(size):
    network = small_cnn(size, 7).eval()
    found = network[:-1](torch.zeros(2, 3, size, size))
    assert found.shape == (2, 256) and network(torch.zeros(2, 3, size, size)).shape == (2, 7)
