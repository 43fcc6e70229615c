"""Our pass through a transformer against timm's own, on random weights: every kind of block, attention and pooling."""

import pytest

from labelqueue.images.vision_transformer import ViT

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

TINY = {"img_size": 64, "patch_size": 16, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 0}
ROTARY = {"use_rot_pos_emb": True, "use_abs_pos_emb": False, "use_fc_norm": False}
DINOV3 = {**ROTARY, "rope_type": "dinov3", "rope_temperature": 100, "rope_rotate_half": True, "num_reg_tokens": 4}

TRANSFORMERS = {
    "plain": {},
    "normalized queries and keys": {"qk_norm": True},
    "registers and layer scale": {"reg_tokens": 4, "init_values": 0.1},
    "registers without positions": {"reg_tokens": 4, "no_embed_class": True, "init_values": 1e-5},
    "norm before, no bias": {"no_embed_class": True, "pre_norm": True, "qkv_bias": False},
    "sizes that change": {"dynamic_img_size": True},
    "normalized attention": {"scale_attn_norm": True, "scale_mlp_norm": True},
    "gated attention": {"gated": True},
    "norm after each branch": {"late": True},
    "mean of the patches": {"global_pool": "avg"},
    "attention pooling, no class token": {"class_token": False, "global_pool": "map"},
    "attention pooling with registers": {"class_token": False, "global_pool": "map", "reg_tokens": 2},
    "attention pooling of everything": {"global_pool": "map", "reg_tokens": 2, "pool_include_prefix": True},
}
EVAS = {
    "DINOv3": {**DINOV3, "dynamic_img_size": True, "qkv_bias": False, "init_values": 1e-5},
    "DINOv3 with biases and SwiGLU": {**DINOV3, "swiglu_mlp": True, "swiglu_align_to": 8, "init_values": 0.1},
    "EVA": {"init_values": 0.1},
    "EVA with a class token that counts": {"use_fc_norm": False, "global_pool": "token"},
    "EVA02": {"swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True, "qkv_fused": False, **ROTARY},
    "EVA02, three projections, mean": {"swiglu_mlp": True, "qkv_fused": False, "use_rot_pos_emb": True},
    "biases apart": {"qkv_bias_separate": True, **ROTARY},
    "norm after each branch": {"use_post_norm": True, **ROTARY},
    "rotations of each block": {"rope_type": "mixed", "attn_type": "rope", **ROTARY},
    "rotary attention, normalized": {"attn_type": "rope", "qk_norm": True, "num_reg_tokens": 2, **ROTARY},
    "fewer keys than queries": {"attn_type": "rope", "qkv_fused": False, "num_kv_heads": 1, **ROTARY},
    "scale of the attention alone": {"attn_type": "rope", "init_values": 0.1, "attn_only_layer_scale": True, **ROTARY},
    "Perception Encoder": {"global_pool": "map", "use_pre_transformer_norm": True, **ROTARY},
    "Perception Encoder without a class token": {"global_pool": "map", "class_token": False, **ROTARY},
}


def transformer(gated=False, late=False, **options):
    from timm.layers.attention import Attention
    from timm.models.vision_transformer import ResPostBlock, VisionTransformer

    if late:
        options["block_fn"] = ResPostBlock
    model = VisionTransformer(**{**TINY, **options})
    for block in model.blocks if gated else ():
        block.attn = Attention(48, num_heads=3, qkv_bias=True, gated=True)
    return model


def eva(qkv_bias_separate=False, **options):
    from timm.models.eva import Eva

    model = Eva(**{**TINY, **options})
    for block in model.blocks:
        block.attn.qkv_bias_separate = qkv_bias_separate
    return model


def shaken(model):
    """The model with weights away from the initial ones and zeros, which would hide mistakes."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name and name.endswith("weight") else 0.0, std=0.2)
    return model.eval()


MODELS = {f"ViT: {name}": (transformer, options) for name, options in TRANSFORMERS.items()}
MODELS |= {f"Eva: {name}": (eva, options) for name, options in EVAS.items()}


@pytest.fixture(params=MODELS)
def model(request):
    build, options = MODELS[request.param]
    return shaken(build(**options))


def attention_matrices(model, images, kind, monkeypatch):
    """What timm's own unfused attention of the last module of a kind multiplies values with: (B, heads, N, N)."""
    seen = []
    softmax = torch.Tensor.softmax
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            monkeypatch.setattr(module, "fused_attn", False)
    module = model.attn_pool if kind == "pool" else model.blocks[-1].attn
    inside = []
    module.register_forward_pre_hook(lambda *_: inside.append(True))
    module.register_forward_hook(lambda *_: inside.clear())
    with monkeypatch.context() as patch, torch.inference_mode():

        def note(self, *args, **kwargs):
            found = softmax(self, *args, **kwargs)
            if inside:
                seen.append(found)
            return found

        patch.setattr(torch.Tensor, "softmax", note)
        model.forward_head(model.forward_features(images))
    return seen[-1]


def expected_embedding(model, everything):
    identity = isinstance(model.norm, torch.nn.Identity)
    if model.attn_pool is not None or identity:
        return model.forward_head(everything, pre_logits=True)
    return everything[:, 0]


def near(one, other):
    return (one - other).abs().max() <= 1e-5 * max(1.0, float(other.abs().max()))


def test_the_embedding_and_the_patches_are_timms(model):
    vit, images = ViT(model), torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        everything = model.forward_features(images)
        expected = expected_embedding(model, everything)
        before = model.forward_intermediates(images, indices=[1], norm=True, output_fmt="NLC")[1][0]
        assert near(vit.embed(images), expected)
        for last in (False, True):
            embeddings, tokens, _, _ = vit.embed_with_patches(images, last=last)
            assert near(embeddings, expected), last
            assert tokens.shape == (3, 16, 48), "patches alone"
            assert near(tokens, everything[:, model.num_prefix_tokens :] if last else before)


def test_the_attention_is_timms_without_its_registers(model, monkeypatch):
    vit, images, prefix = ViT(model), torch.randn(2, 3, 64, 64), model.num_prefix_tokens
    with torch.inference_mode():
        _, _, attention, links = vit.embed_with_patches(images)
    mean = attention_matrices(model, images, "block", monkeypatch).mean(dim=1)
    assert near(links, mean[:, prefix:, prefix:])
    if model.attn_pool is None:
        of_class = mean[:, 0, prefix:]
    else:
        of_class = attention_matrices(model, images, "pool", monkeypatch).mean(dim=1)[:, 0, -16:]
    assert attention.shape == (2, 16) and near(attention, of_class / of_class.sum(dim=1, keepdim=True))
    assert near(attention.sum(dim=1), torch.ones(2))


def test_registers_that_draw_all_attention_to_themselves_are_no_part_of_it():
    """What patches and class token give to registers is lost to both sides, and the rest is divided anew."""
    model = shaken(transformer(reg_tokens=4, init_values=1.0))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        model.reg_token *= 20
        _, tokens, attention, links = ViT(model).embed_with_patches(images)
        assert tokens.shape == (2, 16, 48) and links.shape == (2, 16, 16)
        assert (
            links.sum(dim=2).max() < 0.99
            and links.sum(dim=2).mean() < 0.9
            and near(attention.sum(dim=1), torch.ones(2))
        )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_small_patch14_reg4_dinov2.lvd142m", {"img_size": 224}),
        ("vit_small_patch16_dinov3.lvd1689m", {"img_size": 224}),
        ("vit_small_patch16_dinov3_qkvb.lvd1689m", {"img_size": 224}),
        ("eva02_tiny_patch14_224.mim_in22k", {}),
        ("vit_pe_core_tiny_patch16_384.fb", {"img_size": 192}),
        ("vit_base_patch16_siglip_224.webli", {"embed_dim": 48, "num_heads": 3}),
    ],
)
def test_models_that_people_take(name, options):
    model = shaken(timm.create_model(name, num_classes=0, depth=2, **options))
    vit = ViT(model)
    images = torch.randn(2, 3, vit.image_size, vit.image_size)
    with torch.inference_mode():
        everything = model.forward_features(images)
        embeddings, tokens, attention, _ = vit.embed_with_patches(images, last=True)
        assert near(vit.embed(images), embeddings) and near(embeddings, expected_embedding(model, everything))
        assert near(tokens, everything[:, model.num_prefix_tokens :])
        assert attention.shape == (2, vit.grid[0] * vit.grid[1])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"class_token": False, "global_pool": "avg"}, "no class token and no attention pooling"),
        ({"class_token": False, "global_pool": ""}, "no class token and no attention pooling"),
        ({"global_pool": "prr"}, "pooled by AttentionPoolPrr"),
        ({"final_norm": False}, "no norm after the last block"),
        ({"img_size": (64, 32)}, "not a square"),
    ],
)
def test_what_has_nothing_that_looks_at_patches_is_refused(options, why):
    with pytest.raises(ValueError, match=why):
        ViT(transformer(**options))


def test_blocks_of_another_kind_are_refused():
    from timm.models.vision_transformer import ParallelScalingBlock

    with pytest.raises(ValueError, match="ParallelScalingBlock"):
        ViT(transformer(block_fn=ParallelScalingBlock))
