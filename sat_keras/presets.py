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

_MOBILENET_V2 = {
    "encoder": "mobilenet_v2",
    "encoder_weights": "imagenet",
    "units": 256,
    "embedding_size": 256,
    "attention_size": 256,
    "dropout": 0.3,
    "doubly_stochastic": 0.0,
}
PRESETS = {
    "soft-mobilenet-v2": {
        "cross-entropy": {**_MOBILENET_V2, "epochs": 3, "learning_rate": 1e-3},
        "self-critical": {
            **_MOBILENET_V2,
            "self_critical": True,
            "captions_per_photo": 5,
            "batch_size": 60,
            "epochs": 1,
            "learning_rate": 5e-5,
        },
    },
}
