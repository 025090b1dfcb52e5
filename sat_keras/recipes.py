"""Recipes: trainings by name. A recipe is the phases of a run, see `runs.training.train_phases`.

    sat-keras train flickr8k --recipe soft-mobilenet-v2 --out runs/soft

Settings were chosen on the validation split; `docs/results.md` has what each choice gave. Scores
are of the test split of Flickr8k, captions found by the recipe's search. Times are of one CPU core.
"""

# What captions of these trainings are searched by.
_SEARCH = {"beam_width": 3, "length_penalty": 0.5}


def demo():
    """Drawn shapes, with an encoder that learns from nothing: what `sat-keras demo` trains.

    Command: `sat-keras demo`. Seven minutes on two cores. BLEU-4 88.1, CIDEr 5.41, greedy, on the
    test split of `shapes`.
    """
    return {
        "": {
            "encoder": {
                "name": "mobilenet",
                "alpha": 0.5,
                "layer": "conv_pw_5_relu",
                "image_size": 64,
            },
            "decoder": {
                "units": 128,
                "embedding_size": 64,
                "attention_size": 64,
                "dropout": 0.0,
            },
            "objective": {"doubly_stochastic": 0.0},
            "data": {"batch_size": 64, "captions_per_photo": 2, "min_count": 1},
            "training": {
                "epochs": 9,
                "learning_rate": 3e-3,
                "clip_norm": 10.0,
                "fine_tune": "all",
            },
        }
    }


def soft_mobilenet_v2():
    """Soft attention over a fine-tuned MobileNetV2: the captioner of `flickr8k-soft`.

    Command: `sat-keras train flickr8k --recipe soft-mobilenet-v2 --out runs/soft`. 1.2 hours.
    BLEU-4 23.5, METEOR 21.0, CIDEr 0.601 (another seed 23.2, 21.3, 0.595).
    """
    model = _model("mobilenet_v2", "block_16_project_BN")
    return {
        "cross-entropy": {**model, **_CROSS_ENTROPY},
        "fine-tuned": {**model, **_fine_tuned("block_6_expand")},
        "self-critical": {**model, **_self_critical(epochs=5)},
    }


def hard_mobilenet_v2():
    """Hard attention over a fine-tuned MobileNetV2: one epoch of REINFORCE behind soft attention.

    The first two phases are those of `soft_mobilenet_v2`.

    Command: `sat-keras train flickr8k --recipe hard-mobilenet-v2 --out runs/hard`. 1.3 hours.
    BLEU-4 23.2, METEOR 20.9, CIDEr 0.585.
    """
    soft = soft_mobilenet_v2()
    model = _model("mobilenet_v2", "block_16_project_BN", attention="hard")
    return {
        "cross-entropy": soft["cross-entropy"],
        "fine-tuned": soft["fine-tuned"],
        "hard": {
            **model,
            "objective": {"name": "reinforce", "doubly_stochastic": 0.0},
            "training": {"epochs": 1, "learning_rate": 2e-4},
        },
        "self-critical": {**model, **_self_critical(epochs=3)},
    }


def soft_efficientnet_lite2():
    """Soft attention over a fine-tuned EfficientNet-Lite2: the captioner of `flickr8k-soft-lite2`.

    Photos are enlarged to 288 x 288, which gives a grid of 9 x 9.

    Command: `sat-keras train flickr8k --recipe soft-efficientnet-lite2 --out runs/lite2`. 1.6
    hours. BLEU-4 24.8, METEOR 21.8, CIDEr 0.643 (another seed 23.9, 21.7, 0.629).
    """
    model = _model("efficientnet_lite2", "block7a_project_bn", image_size=288)
    return {
        "cross-entropy": {**model, **_CROSS_ENTROPY},
        "fine-tuned": {**model, **_fine_tuned("block4a_expand_conv")},
        "self-critical": {**model, **_self_critical(epochs=5)},
    }


RECIPES = {
    "demo": demo,
    "soft-mobilenet-v2": soft_mobilenet_v2,
    "hard-mobilenet-v2": hard_mobilenet_v2,
    "soft-efficientnet-lite2": soft_efficientnet_lite2,
}


# === What the recipes for Flickr8k share ===


def _model(encoder, layer, image_size=224, attention="soft"):
    return {
        "encoder": {
            "name": encoder,
            "weights": "imagenet",
            "layer": layer,
            "image_size": image_size,
        },
        "decoder": {
            "attention": attention,
            "units": 512,
            "embedding_size": 256,
            "attention_size": 256,
        },
        "search": _SEARCH,
    }


_LIKELIHOOD = {"name": "cross-entropy", "doubly_stochastic": 0.0}
_CROSS_ENTROPY = {
    "objective": _LIKELIHOOD,
    "training": {"epochs": 5, "learning_rate": 8e-4},
}
# The encoder works at every step, and so once for all captions of a photo.
_ALL_CAPTIONS = {"captions_per_photo": 5, "batch_size": 60}


def _fine_tuned(layer):
    """The encoder learns from this layer on, where its grid has 14 x 14 cells."""
    return {
        "objective": _LIKELIHOOD,
        "data": {**_ALL_CAPTIONS, "augment": True},
        "training": {
            "epochs": 6,
            "learning_rate": 1.5e-4,
            "warmup": 500,
            "fine_tune": layer,
        },
    }


def _self_critical(epochs):
    return {
        "objective": {"name": "self-critical", "reward_meteor": 5.0},
        "data": _ALL_CAPTIONS,
        "training": {"epochs": epochs, "learning_rate": 1e-4},
    }
