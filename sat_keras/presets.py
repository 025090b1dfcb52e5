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

PRESETS = {
    "soft-mobilenet-v2": {"cross-entropy": {"encoder": "mobilenet_v2"}},
}
