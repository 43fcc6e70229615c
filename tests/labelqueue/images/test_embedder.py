"""The embedder against timm itself."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from labelqueue.exceptions import EmbedderError
from labelqueue.images.embedder import BUNDLED, Embedder
from labelqueue.images.weights import weights_file as file_of
from photos import draw_photos

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

PACKAGE = Path(sys.modules["labelqueue"].__path__[0])


@pytest.fixture(scope="module")
def bundled():
    return Embedder.load(BUNDLED, device="cpu")


@pytest.fixture(scope="module")
def photos():
    return draw_photos(20)


def normalized(embedder, pixels):
    return torch.cat([images[:used] for images, used in embedder._minibatches(pixels)])


def reference_attention(model, images):
    """The last block's attention with the matrix written out: (B, heads, N, N)."""
    with torch.inference_mode():
        tokens = model.norm_pre(model._pos_embed(model.patch_embed(images)))
        for block in model.blocks[:-1]:
            tokens = block(tokens)
        attn, seen = model.blocks[-1].attn, model.blocks[-1].norm1(tokens)
        n, heads, width = seen.shape[1], attn.num_heads, attn.head_dim
        q, k, _ = attn.qkv(seen).reshape(len(seen), n, 3, heads, width).permute(2, 0, 3, 1, 4)
        return (attn.q_norm(q) @ attn.k_norm(k).transpose(-2, -1) * width**-0.5).softmax(-1), model.norm(tokens)


def patterns_of(result, image):
    _, patterns, offsets = result
    return patterns[offsets[image] : offsets[image + 1]]


def same_image(one, i, other, j):
    return np.array_equal(one[0][i], other[0][j]) and np.array_equal(patterns_of(one, i), patterns_of(other, j))


def test_what_is_known_of_the_model_comes_from_the_model(bundled):
    assert (bundled.name, bundled.dim, bundled.image_size, bundled.grid) == (BUNDLED, 192, 160, (10, 10))
    file = next((PACKAGE / "weights").glob("*.safetensors"))
    assert bundled.weights_digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_embedding_is_timms_class_token(bundled, photos):
    model, images = bundled._model._model, normalized(bundled, photos)
    with torch.inference_mode():
        expected = model.forward_features(images)[:, 0]
        assert (bundled._model.embed(images) - expected).abs().max() < 1e-4
        for last in (False, True):
            assert (bundled._model.embed_with_patches(images, last=last)[0] - expected).abs().max() < 1e-4
    embeddings, patterns, offsets = bundled.embed(photos)
    assert embeddings.dtype == patterns.dtype == np.float16
    assert np.allclose(embeddings, expected.numpy(), rtol=1e-3, atol=2e-3)
    assert np.array_equal(patterns, embeddings) and offsets.tolist() == list(range(21))


def test_attention_and_patch_tokens_are_those_of_an_unfused_pass(bundled, photos):
    model, images = bundled._model._model, normalized(bundled, photos[:4])
    matrix, before = reference_attention(model, images)
    mean = matrix.mean(dim=1)
    with torch.inference_mode():
        _, tokens, attention, links = bundled._model.embed_with_patches(images)
        assert (attention - mean[:, 0, 1:] / mean[:, 0, 1:].sum(1, keepdim=True)).abs().max() < 1e-6
        assert (links - mean[:, 1:, 1:]).abs().max() < 1e-6
        assert (tokens - before[:, 1:]).abs().max() < 1e-4
        last = bundled._model.embed_with_patches(images, last=True)[1]
        assert (last - model.forward_features(images)[:, 1:]).abs().max() < 1e-4


def test_patterns_are_those_of_poolselect(bundled, photos):
    from poolselect.patterns import semantic_patterns

    embeddings, patterns, offsets = bundled.embed(photos[:5], n_patterns=4, attention_ratio=0.6, neighborhood=3)
    with torch.inference_mode():
        _, *parts = bundled._model.embed_with_patches(normalized(bundled, photos[:5]))
    expected, expected_offsets = semantic_patterns(
        *parts, grid=(10, 10), n_patterns=4, attention_ratio=0.6, neighborhood=3
    )
    assert np.array_equal(patterns, expected.half().numpy()) and patterns.dtype == np.float16
    assert np.array_equal(offsets, expected_offsets.numpy())
    assert np.allclose(embeddings, bundled.embed(photos[:5])[0], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("options", [{}, {"n_patterns": 5}, {"n_patterns": 3, "layer": "last"}], ids=str)
def test_companions_places_and_threads_do_not_change_a_bit(bundled, photos, options):
    reference = bundled.embed(photos, **options)
    threads = torch.get_num_threads()
    rng = np.random.default_rng(1)
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for size in (20, 16, 7, 1):
                some = rng.permutation(20)[:size]
                again = bundled.embed(photos[some], **options)
                assert all(same_image(again, i, reference, j) for i, j in enumerate(some)), (count, size)
            strangers = np.concatenate([255 - photos[:3], photos[11:12], photos[5:9] // 2])
            assert same_image(bundled.embed(strangers, **options), 3, reference, 11)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("n_patterns", [1, 3])
def test_the_pipelines_lanes_do_not_change_a_bit_either(bundled, photos, n_patterns):
    import io

    from PIL import Image

    from labelqueue.images.pipeline import Item, embed_stream

    def load(number):
        file = io.BytesIO()
        Image.fromarray(photos[number % 20]).save(file, "PNG")
        return file.getvalue()

    threads = torch.get_num_threads()
    reference = bundled.embed(photos, n_patterns=n_patterns)
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        try:
            items = [Item(number, str(number), lambda number=number: load(number)) for number in range(70)]
            (first, rest) = embed_stream(bundled, items, n_patterns=n_patterns)
            assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(threads)
        for block in (first.block, rest.block):
            result = (block.embeddings, block.patterns, block.offsets)
            assert all(same_image(result, row, reference, image % 20) for row, image in enumerate(block.ids))


def test_no_images_give_no_rows(bundled):
    embeddings, patterns, offsets = bundled.embed(np.empty((0, 160, 160, 3), np.uint8), n_patterns=5)
    assert embeddings.shape == patterns.shape == (0, 192) and offsets.tolist() == [0]


def test_wrong_pixels_are_refused(bundled):
    with pytest.raises(ValueError, match=r"must be uint8 \(n, 160, 160, 3\)"):
        bundled.embed(np.zeros((1, 224, 224, 3), np.uint8))
    with pytest.raises(ValueError, match="n_patterns=0"):
        bundled.embed(np.zeros((1, 160, 160, 3), np.uint8), n_patterns=0)


def test_another_image_size_resamples_the_position_embeddings(photos):
    doubled = Embedder.load(BUNDLED, image_size=320, device="cpu")
    assert (doubled.image_size, doubled.grid) == (320, (20, 20))
    embeddings, patterns, _ = doubled.embed(np.repeat(np.repeat(photos[:2], 2, 1), 2, 2), n_patterns=10)
    assert np.isfinite(embeddings).all() and np.isfinite(patterns).all()
    small = Embedder.load(BUNDLED, device="cpu").embed(photos[:2])[0]
    cosine = (embeddings * small).sum(1) / np.linalg.norm(embeddings.astype(float), axis=1)
    assert (cosine / np.linalg.norm(small.astype(float), axis=1) > 0.5).all()
    twice = Embedder.load(BUNDLED, doubled=True, device="cpu")
    assert twice.card == doubled.card and np.array_equal(
        twice.embed(np.repeat(np.repeat(photos[:2], 2, 1), 2, 2))[0],
        doubled.embed(np.repeat(np.repeat(photos[:2], 2, 1), 2, 2))[0],
    )


def test_fingerprint_tells_everything_that_shapes_the_numbers(bundled):
    one = bundled.fingerprint({"n_patterns": 5, "attention_ratio": 0.5})
    assert one == bundled.fingerprint({"attention_ratio": 0.5, "n_patterns": 5})
    assert len(one) == 32 and int(one, 16)
    assert one != bundled.fingerprint({"n_patterns": 5, "attention_ratio": 0.6})
    assert one != Embedder.load(BUNDLED, image_size=320).fingerprint({"n_patterns": 5, "attention_ratio": 0.5})


def test_patterns_of_another_algorithm_are_another_generation(bundled, monkeypatch):
    several, one = ({"n_patterns": n} for n in (5, 1))
    before = bundled.fingerprint(several), bundled.fingerprint(one)
    monkeypatch.setattr("poolselect.patterns.ALGORITHM", 99)
    assert bundled.fingerprint(several) != before[0] and bundled.fingerprint(one) == before[1]


def weights_file(folder, **changes):
    tensors = load_file(next((PACKAGE / "weights").glob("*.safetensors")))
    file = folder / "weights.safetensors"
    save_file({**tensors, **changes}, file)
    return file


@pytest.fixture
def four_blocks(monkeypatch):
    """timm's ViT-Tiny, cut to the bundled shape, under its own name: a weights file that is small and fits."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **k: create(name, depth=4, img_size=160, **k))


def test_a_weights_file_is_loaded_and_its_classifier_is_ignored(four_blocks, bundled, photos, tmp_path):
    classifier = {"weight": np.zeros((7, 192), np.float32), "bias": np.zeros(7, np.float32)}
    names = ("head", "head_dist")
    file = weights_file(tmp_path, **{f"{name}.{key}": value for name in names for key, value in classifier.items()})
    model = Embedder.load("vit_tiny_patch16_224", file, device="cpu")
    assert np.array_equal(model.embed(photos[:3])[0], bundled.embed(photos[:3])[0])
    assert model.weights_digest == hashlib.sha256(file.read_bytes()).hexdigest() != bundled.weights_digest


def test_weights_for_patches_of_another_size_are_refused_not_resampled(four_blocks, tmp_path):
    file = weights_file(tmp_path, **{"patch_embed.proj.weight": np.zeros((192, 3, 8, 8), np.float32)})
    with pytest.raises(EmbedderError, match=r"\(192, 3, 8, 8\), the model's has \(192, 3, 16, 16\)"):
        Embedder.load("vit_tiny_patch16_224", file)


def test_an_image_size_that_patches_do_not_tile_is_refused():
    with pytest.raises(
        EmbedderError, match=r"165 x 165 pixels .*LABELQUEUE_IMAGE_SIZE to a multiple of 16, such as 160"
    ):
        Embedder.load(BUNDLED, image_size=165)
    with pytest.raises(EmbedderError, match=r"256 x 256 .*multiple of 14, such as 252"):
        Embedder.load("vit_small_patch14_reg4_dinov2.lvd142m", image_size=256)


@pytest.fixture
def shallow(monkeypatch):
    """timm's models with two blocks, so that it takes no time to make weights for them."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **k: create(name, **{**k, "depth": 2}))


@pytest.mark.parametrize(
    ("name", "native", "size", "grid"),
    [
        ("vit_small_patch14_reg4_dinov2.lvd142m", 518, None, (16, 16)),
        ("vit_small_patch14_reg4_dinov2.lvd142m", 518, 518, (37, 37)),
        ("vit_small_patch16_224.dino", 224, None, (14, 14)),
        ("vit_base_patch16_siglip_384.webli", 384, 256, (16, 16)),
        ("vit_small_patch16_dinov3.lvd1689m", 256, None, (14, 14)),
        ("eva_large_patch14_196.in22k_ft_in1k", 196, None, (14, 14)),
    ],
)
def test_models_look_at_224_pixels_unless_told(shallow, tmp_path, name, native, size, grid):
    """Their position embeddings are resampled as timm itself does it when it loads the weights."""
    torch.manual_seed(0)
    small = {} if "small" in name else {"embed_dim": 96, "num_heads": 3}
    with pytest.MonkeyPatch.context() as patch:
        create = timm.create_model
        patch.setattr(timm, "create_model", lambda name, **k: create(name, **{**k, **small}))
        whole = timm.create_model(name, num_classes=0).eval()
        file = tmp_path / "weights.safetensors"
        save_file({key: value.numpy() for key, value in whole.state_dict().items()}, file)
        model = Embedder.load(name, file, device="cpu", image_size=size)
        assert model.grid == grid and model.image_size == (size or min(native, 224))
        whole.set_input_size((model.image_size, model.image_size))
    images = torch.randn(1, 3, model.image_size, model.image_size)
    with torch.inference_mode():
        expected = model._model.embed(images)
        model._model._model = whole
        model._model._last = type(model._model._last)(whole.blocks[-1], whole.num_prefix_tokens)
        assert (model._model.embed(images) - expected).abs().max() < 1e-4


def test_weights_that_do_not_fit_are_refused(four_blocks, tmp_path):
    file = weights_file(tmp_path, **{"blocks.9.norm1.weight": np.zeros(192, np.float32)})
    with pytest.raises(EmbedderError, match=r"do not fit the model 'vit_tiny.*blocks\.9\.norm1"):
        Embedder.load("vit_tiny_patch16_224", file)
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickle.pth")
    with pytest.raises(EmbedderError, match="not a whole safetensors file"):
        Embedder.load("vit_tiny_patch16_224", tmp_path / "pickle.pth")
    with pytest.raises(EmbedderError, match="No such file"):
        Embedder.load("vit_tiny_patch16_224", tmp_path / "missing.safetensors")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vit_enormous", "timm has no model 'vit_enormous'"),
        ("vit_tiny_patch16_224.nonsense", "nonsense"),
        ("resnet18", "it is a ResNet, not a plain vision transformer"),
        (
            "vit_medium_patch16_gap_256",
            "no class token and no attention pooling.*such as vit_small_patch14_reg4_dinov2",
        ),
        ("swin_tiny_patch4_window7_224", "it is a SwinTransformer, not a plain vision transformer"),
        ("mixer_b16_224", "it is a MlpMixer"),
        ("hf-hub:someone/something", "timm has no model"),
    ],
)
def test_models_that_cannot_serve_are_named_with_the_way_out(name, reason):
    with pytest.raises(EmbedderError, match=reason):
        Embedder.load(name)


def test_which_file_has_the_weights_of_a_model(tmp_path):
    file, digest = tmp_path / "one.safetensors", hashlib.sha256(b"weights").hexdigest()
    file.write_bytes(b"weights")
    (tmp_path / "vit_b.safetensors").write_bytes(b"others")
    assert file_of(None, "vit_a", "vit_a") is None
    assert file_of(file, "vit_a", "vit_a") == file, "a file belongs to the deployment's model"
    assert file_of(file, "vit_a", "vit_b") is None
    assert file_of(file, "vit_a", "vit_b", digest) == file, "and to whose images it embedded, by its digest"
    assert file_of(file, "vit_a", "vit_b", "ab" * 32) is None
    assert file_of(tmp_path, "vit_a", "vit_b") == tmp_path / "vit_b.safetensors"
    assert file_of(tmp_path, "vit_a", "vit_a") is None


def test_bundled_brings_its_own_weights(tmp_path):
    with pytest.raises(EmbedderError, match="brings its own weights"):
        Embedder.load(BUNDLED, tmp_path / "other.safetensors")


def test_no_hub_means_a_quick_error_with_the_ways_out_never_random_weights(tmp_path):
    code = (
        "from labelqueue.images.embedder import Embedder\n"
        "from labelqueue.exceptions import EmbedderError\n"
        "import timm, time; started = time.monotonic()\n"
        "try: Embedder.load('vit_tiny_patch16_224')\n"
        "except EmbedderError as error: print(time.monotonic() - started, error)\n"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HUB_CACHE": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    seconds, _, message = answer.stdout.partition(" ")
    assert float(seconds) < 20, answer
    for part in ("vit_tiny_patch16_224", "LABELQUEUE_WEIGHTS=", "LABELQUEUE_EMBEDDER=bundled"):
        assert part in message


def test_a_hub_that_never_answers_is_given_up_on(tmp_path, monkeypatch):
    import socket

    import huggingface_hub

    from labelqueue.images import weights

    monkeypatch.setattr(weights, "_HUB_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *_: address)
        started = time.monotonic()
        with pytest.raises(EmbedderError, match="could not be had from timm's hub"):
            Embedder.load("vit_tiny_patch16_224")
        assert time.monotonic() - started < 15


def test_importing_the_image_modules_loads_no_torch():
    code = (
        "import sys, labelqueue.images.embedder, labelqueue.fetching.fetcher, labelqueue.images.pipeline, "
        "labelqueue.offline.select; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
