"""Settings by name. A preset is the phases of a recipe, see `recipe.train_recipe`.

What each was chosen by, on the validation split, is in docs/results.md.
"""

# Shapes has no pretrained encoder: a small one learns with the decoder, from nothing.
DEMO = {
    "dataset": "shapes",
    "encoder": "mobilenet",
    "alpha": 0.5,
    "layer": "conv_pw_5_relu",
    "image_size": 64,
    "train_encoder": True,
    "units": 128,
    "embedding_size": 64,
    "attention_size": 64,
    "dropout": 0.0,
    "epochs": 9,
    "batch_size": 64,
    "captions_per_photo": 2,
    "learning_rate": 3e-3,
    "clip_norm": 10.0,
    "doubly_stochastic": 0.0,
    "min_count": 1,
}

_DECODER = {
    "encoder_weights": "imagenet",
    "units": 512,
    "embedding_size": 256,
    "attention_size": 256,
    "doubly_stochastic": 0.0,
}
_MOBILENET_V2 = {**_DECODER, "encoder": "mobilenet_v2", "layer": "block_16_project_BN"}
# Enlarged, photos of 224 x 224 get a grid of 9 x 9.
_LITE2 = {
    **_DECODER,
    "encoder": "efficientnet_lite2",
    "layer": "block7a_project_bn",
    "image_size": 288,
}
_CROSS_ENTROPY = {"epochs": 5, "learning_rate": 8e-4}
# Where the encoder works at every step, it works once for a photo's five captions.
_FIVE = {"captions_per_photo": 5, "batch_size": 60}
_FINE_TUNED = {
    **_FIVE,
    "epochs": 6,
    "learning_rate": 1.5e-4,
    "warmup": 500,
    "train_encoder": True,
    "augment": True,
}
_HARD = {"attention": "hard", "epochs": 1, "learning_rate": 2e-4}
_SELF_CRITICAL = {
    **_FIVE,
    "epochs": 5,
    "learning_rate": 1e-4,
    "self_critical": True,
    "reward_meteor": 5.0,
}

# An encoder learns from where its grid has 14 x 14 cells.
PRESETS = {
    "soft-mobilenet-v2": {
        "cross-entropy": {**_MOBILENET_V2, **_CROSS_ENTROPY},
        "fine-tuned": {**_MOBILENET_V2, **_FINE_TUNED, "train_from": "block_6_expand"},
        "self-critical": {**_MOBILENET_V2, **_SELF_CRITICAL},
    },
    "hard-mobilenet-v2": {
        "cross-entropy": {**_MOBILENET_V2, **_CROSS_ENTROPY},
        "fine-tuned": {**_MOBILENET_V2, **_FINE_TUNED, "train_from": "block_6_expand"},
        "hard": {**_MOBILENET_V2, **_HARD},
        "self-critical": {**_MOBILENET_V2, **_SELF_CRITICAL, "attention": "hard", "epochs": 3},
    },
    "soft-efficientnet-lite2": {
        "cross-entropy": {**_LITE2, **_CROSS_ENTROPY},
        "fine-tuned": {**_LITE2, **_FINE_TUNED, "train_from": "block4a_expand_conv"},
        "self-critical": {**_LITE2, **_SELF_CRITICAL},
    },
}
SEARCH = {"beam_width": 3, "length_penalty": 0.5}  # what their captions are found by
