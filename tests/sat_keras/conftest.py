import shutil

import pytest


@pytest.fixture
def without_java(monkeypatch):
    """METEOR takes seconds to start, and is left out where there is no Java."""
    monkeypatch.setattr(shutil, "which", lambda *_: None)


@pytest.fixture(scope="session")
def every_setting():
    """Another value than the default for every setting that the command line can name."""
    return {
        "encoder": {
            "name": "mobilenet",
            "weights": "w.h5",
            "alpha": 0.5,
            "layer": "conv_pw_5_relu",
            "image_size": 96,
            "patches": 2,
            "fine_layer": "conv_pw_3_relu",
        },
        "decoder": {
            "attention": "hard",
            "scorer": "bilinear",
            "inject": "first",
            "units": 7,
            "embedding_size": 6,
            "attention_size": 5,
            "dropout": 0.25,
            "max_length": 9,
        },
        "objective": {
            "name": "reinforce",
            "label_smoothing": 0.1,
            "doubly_stochastic": 0.5,
            "entropy": 0.01,
            "scheduled_sampling": 0.2,
            "grounding": 0.6,
            "expectation": 0.4,
            "samples": 3,
        },
        "data": {"batch_size": 30, "captions_per_photo": 5, "augment": True, "min_count": 2},
        "training": {
            "epochs": 3,
            "patience": 2,
            "learning_rate": 0.01,
            "warmup": 10,
            "clip_norm": 1.0,
            "fine_tune": "conv_pw_4",
            "warm_start": "runs/soft",
            "precision": "mixed_bfloat16",
            "seed": 4,
        },
        "search": {"beam_width": 4, "length_penalty": 0.7, "no_repeat_ngram": 2},
    }
