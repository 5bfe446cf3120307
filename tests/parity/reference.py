"""Small Wan models with random weights, made by the reference packages themselves."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import sentencepiece

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanImageToVideoPipeline,
        WanPipeline,
        WanTransformer3DModel,
        WanVACEPipeline,
        WanVACETransformer3DModel,
    )
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModel,
        UMT5Config,
        UMT5EncoderModel,
    )

    __all__ = ["WanImageToVideoPipeline", "WanPipeline", "WanVACEPipeline"]
    __all__ += ["prompt_clean"]

TEXT_WIDTH = 20
WORDS = (
    "a red ball rolls élan naïve Straße 猫 在 草地 上 奔跑 🐈 👩\u200d🚀 &amp; "
    "&amp;lt; “quoted” don't ﬁne ２０２４ Ω≈ç √ мир кошка "
    " tab\tbed new\nline cafe\u0301 "
    "\u200b … 3.14 x=y <b> £5 schÃ¶n &#39;s नमस्ते שלום ｶﾀｶﾅ"
).split(" ")
# The statistics of latents are part of a VAE's config: none is 0 or 1.
Z_21, Z_22 = 4, 6


def statistics(channels):
    values = np.random.default_rng(channels)
    mean, std = values.normal(size=channels), values.uniform(0.5, 2, size=channels)
    return {"latents_mean": mean.tolist(), "latents_std": std.tolist()}


VAE_21 = {
    "base_dim": 8,
    "z_dim": Z_21,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    **statistics(Z_21),
}
VAE_22 = {
    "base_dim": 8,
    "decoder_base_dim": 12,
    "z_dim": Z_22,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    **statistics(Z_22),
}
IMAGE_WIDTH, IMAGE_SIDE = 16, 28
# Of the transformers that read pictures as a context: 4 patches and a class token each.
READS_PICTURES = {"image_dim": IMAGE_WIDTH, "added_kv_proj_dim": 48}
READS_TWO = {**READS_PICTURES, "pos_embed_seq_len": 10}
CONTEXTS = {"i2v": READS_PICTURES, "flf2v": READS_TWO}
# kind: (pipeline, VAE, latent channels, extra channels of the transformer, options)
KINDS = {
    "t2v": (WanPipeline, VAE_21, Z_21, 0, {}),
    "ti2v": (WanPipeline, VAE_22, Z_22, 0, {"expand_timesteps": True}),
    "a14b": (WanPipeline, VAE_21, Z_21, 0, {"boundary_ratio": 0.875}),
    # An image enters as a clean token, or as channels beside the noise.
    "image": (WanImageToVideoPipeline, VAE_22, Z_22, 0, {"expand_timesteps": True}),
    "channels": (WanImageToVideoPipeline, VAE_21, Z_21, 4 + Z_21, {}),
    "i2v": (WanImageToVideoPipeline, VAE_21, Z_21, 4 + Z_21, {}),
    "flf2v": (WanImageToVideoPipeline, VAE_21, Z_21, 4 + Z_21, {}),
    "i2v_a14b": (
        WanImageToVideoPipeline,
        VAE_21,
        Z_21,
        4 + Z_21,
        {"boundary_ratio": 0.9},
    ),
}
TEXT_KINDS = ("t2v", "ti2v", "a14b")
IMAGE_KINDS = ("image", "channels", "i2v", "flf2v", "i2v_a14b")


def randomized(module, seed):
    """Draw all parameters, none of them zero, and the scales about one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if value.ndim == 1 or "gamma" in name:
                is_scale = "gamma" in name or ("norm" in name and "bias" not in name)
                value.copy_(noise * 0.2 + float(is_scale))
            else:
                value.copy_(noise * value[0].numel() ** -0.5)
    return module.eval()


def transformer(channels, extra=0, seed=0, kind=WanTransformer3DModel, **contexts):
    return randomized(
        kind(
            num_attention_heads=2,
            attention_head_dim=24,
            in_channels=channels + extra,
            out_channels=channels,
            text_dim=TEXT_WIDTH,
            freq_dim=32,
            ffn_dim=40,
            num_layers=3,
            qk_norm="rms_norm_across_heads",
            cross_attn_norm=True,
            **contexts,
        ),
        seed,
    )


def vae(config):
    return randomized(AutoencoderKLWan(**config), 2)


def image_encoder():
    config = CLIPVisionConfig(
        hidden_size=IMAGE_WIDTH,
        intermediate_size=24,
        projection_dim=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=IMAGE_SIDE,
        patch_size=14,
        hidden_act="gelu",
    )
    return randomized(CLIPVisionModel(config), 4)


def image_processor():
    side = IMAGE_SIDE
    return CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def text_encoder(vocabulary):
    config = UMT5Config(
        vocab_size=vocabulary,
        d_model=TEXT_WIDTH,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=3,
    )
    return randomized(UMT5EncoderModel(config), 3)


def texts(count, seed=0):
    """Strings of many kinds: accents, Chinese, emoji, HTML entities, odd spaces."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 40))) for _ in range(count)]


def tokenizer(folder):
    """A SentencePiece model as umT5 has it: unigrams with byte fallback."""
    path = Path(folder) / "spiece.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts(2000, seed=1)),
            model_writer=file,
            model_type="unigram",
            vocab_size=500,
            hard_vocab_limit=False,
            byte_fallback=True,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    return path


def with_sentencepiece(folder, model):
    """Put the SentencePiece model where published folders have it."""
    shutil.copy(model, Path(folder) / "tokenizer" / "spiece.model")
    return folder


def theirs(model):
    """The reference's tokenizer of a SentencePiece model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoTokenizer.from_pretrained(
            str(Path(model).parent), tokenizer_type="t5", extra_ids=0
        )


def scheduler(shift):
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=shift,
    )


def control_pipeline(model):
    """A pipeline of VACE, whose control branch has a block at two of three layers."""
    return WanVACEPipeline(
        tokenizer=theirs(model),
        text_encoder=text_encoder(600),
        vae=vae(VAE_21),
        scheduler=scheduler(3.0),
        transformer=transformer(
            Z_21,
            kind=WanVACETransformer3DModel,
            vace_layers=[0, 2],
            vace_in_channels=2 * Z_21 + 64,
        ),
    )


def pipeline(kind, model):
    """A whole pipeline of one kind."""
    if kind == "vace":
        return control_pipeline(model)
    build, vae_config, channels, extra, options = KINDS[kind]
    tokenize = theirs(model)
    two = "boundary_ratio" in options
    contexts = CONTEXTS.get(kind, {})
    if build is WanImageToVideoPipeline:
        options = {
            **options,
            "image_encoder": image_encoder() if contexts else None,
            "image_processor": image_processor() if contexts else None,
        }
    return build(
        tokenizer=tokenize,
        text_encoder=text_encoder(600),
        vae=vae(vae_config),
        scheduler=scheduler(3.0),
        transformer=transformer(channels, extra, seed=0, **contexts),
        transformer_2=transformer(channels, extra, seed=1) if two else None,
        **options,
    )


PROMPT = "a red ball &amp; 猫 “quoted”"
NEGATIVE = "tab\tbed"


def psnr(a, b):
    return float(10 * np.log10(1 / np.mean((np.float64(a) - np.float64(b)) ** 2)))


def noise_of(model, frames, size):
    t, h, w = 1 + (frames - 1) // 4, *(s // model.config.vae.space_factor for s in size)
    shape = (1, t, h, w, model.config.vae.channels)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


ASKED = {
    "frames": 9,
    "size": (64, 96),
    "steps": 8,
    "guidance": 4.0,
    "negative_prompt": NEGATIVE,
}


def theirs_of(pipeline, noise, **options):
    """What the reference makes of the same request."""
    pipeline.set_progress_bar_config(disable=True)
    asked = {
        "prompt": PROMPT,
        "negative_prompt": NEGATIVE,
        "latents": torch.tensor(np.moveaxis(noise, -1, 1)),
        "num_frames": ASKED["frames"],
        "height": ASKED["size"][0],
        "width": ASKED["size"][1],
        "num_inference_steps": ASKED["steps"],
        "guidance_scale": ASKED["guidance"],
    }
    return pipeline(**(asked | options)).frames
