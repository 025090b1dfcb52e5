"""Settings: what each refuses and how it says so, round trips, files of another version."""

import dataclasses
import json
import re

import pytest

from sat_edge import InputError
from sat_keras.runs.settings import PARTS, RunSettings

CHOICES = "choose one of"
BAD = {  # part, setting, value: the line
    ("encoder", "name", None): "name is None: name a value of type str",
    ("encoder", "weights", 3): "weights is 3: name a value of type str",
    ("encoder", "alpha", 0): "alpha is 0: name a number above 0",
    ("encoder", "layer", 5): "layer is 5: name a value of type str",
    ("encoder", "image_size", 0): "image_size is 0: name 1 or more",
    ("encoder", "patches", -1): "patches is -1: name 0 or more",
    ("encoder", "fine_layer", 12): "fine_layer is 12: name a value of type str",
    ("decoder", "attention", "loud"): f"unknown attention 'loud': {CHOICES} soft, none, hard",
    ("decoder", "scorer", 2): "scorer is 2: name a value of type str",
    ("decoder", "inject", "last"): f"unknown inject 'last': {CHOICES} first, only, every",
    ("decoder", "units", None): "units is None: name a value of type int",
    ("decoder", "embedding_size", 8.0): "embedding_size is 8.0: name a value of type int",
    ("decoder", "attention_size", True): "attention_size is True: name a value of type int",
    ("decoder", "dropout", 1.5): "dropout is 1.5: name 0 or more, and at most 1",
    ("decoder", "max_length", 1): "max_length is 1: name 2 or more",
    ("search", "beam_width", 0): "beam_width is 0: name 1 or more",
    ("search", "length_penalty", -1.0): "length_penalty is -1.0: name 0 or more",
    ("search", "no_repeat_ngram", -2): "no_repeat_ngram is -2: name 0 (off) or more words",
    ("search", "n_best", 2): "n_best is 2: name 1 to the beam_width, which is 1",
    ("data", "batch_size", 0): "batch_size is 0: name 1 or more",
    ("data", "captions_per_photo", 3): (
        "batch_size 64 is no multiple of captions_per_photo 3: a batch holds whole photos"
    ),
    ("data", "augment", 1): "augment is 1: name a value of type bool",
    ("data", "min_count", 0): "min_count is 0: name 1 or more",
    ("training", "epochs", 0): "epochs is 0: name 1 or more",
    ("training", "patience", -1): "patience is -1: name 0 or more",
    ("training", "learning_rate", float("nan")): "learning_rate is nan: name a finite number",
    ("training", "warmup", -1): "warmup is -1: name 0 or more",
    ("training", "clip_norm", float("inf")): "clip_norm is inf: name a finite number",
    ("training", "fine_tune", True): "fine_tune is True: name a value of type str",
    ("training", "warm_start", 1): "warm_start is 1: name a value of type str",
    ("training", "precision", "float8"): (
        f"unknown precision 'float8': {CHOICES} float32, mixed_float16, mixed_bfloat16"
    ),
    ("training", "seed", -1): "seed is -1: name 0 or more",
}
MORE = {  # further bounds of settings above
    ("decoder", "units", 0): "units is 0: name 1 or more",
    ("decoder", "embedding_size", -1): "embedding_size is -1: name 1 or more",
    ("decoder", "attention_size", 0): "attention_size is 0: name 1 or more",
    ("decoder", "dropout", -0.1): "dropout is -0.1: name 0 or more, and at most 1",
    ("data", "captions_per_photo", 0): "captions_per_photo is 0: name 1 or more",
    ("training", "learning_rate", 0.0): "learning_rate is 0.0: name a number above 0",
    ("training", "clip_norm", -5): "clip_norm is -5: name a number above 0",
    ("training", "epochs", "5"): "epochs is '5': name a value of type int",
}


@pytest.mark.parametrize(("where", "line"), [*BAD.items(), *MORE.items()])
def test_each_bad_value_has_its_line(where, line):
    part, name, value = where
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        RunSettings.from_dict({"dataset": "shapes", part: {name: value}})


def test_the_lines_above_are_of_every_setting():
    every = {(part, each.name) for part, of in PARTS.items() for each in dataclasses.fields(of)}
    assert every == {(part, name) for part, name, _ in BAD}


REFERENCES_NEEDED = (
    "objective self-critical goes on from a captioner that can caption, and needs all references "
    "of a photo: name warm_start, captions_per_photo, for example 5, and a batch_size, 60"
)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"wings": 2}, r"unknown name among the settings 'wings': choose one of .*training.*"),
        (
            {"decoder": {"wings": 2}},
            r"unknown name among the decoder settings 'wings': choose one of .*units.*",
        ),
        (
            {"search": {"width": 2}},
            r"unknown name among the search settings 'width': choose one of .*beam_width.*",
        ),
        ({"decoder": 3}, "the decoder settings are 3: name a dict"),
        ({"objective": {"name": "loss"}}, "unknown objective 'loss': choose one of .*"),
        (
            {"objective": {"samples": 2}},
            "unknown setting of objective cross-entropy 'samples': choose one of .*",
        ),
        (
            {"objective": {"label_smoothing": 2.0}},
            "label_smoothing is 2.0: name 0 or more, and at most 1",
        ),
        (
            {"objective": {"name": "reinforce"}},
            "objective reinforce trains attention hard, not soft: choose another objective",
        ),
        ({"objective": {"name": "self-critical"}}, REFERENCES_NEEDED),
        (
            {
                "objective": {"name": "self-critical"},
                "data": {"batch_size": 8, "captions_per_photo": 4},
            },
            REFERENCES_NEEDED,
        ),
        (
            {"objective": {"name": "self-critical"}, "training": {"warm_start": "run"}},
            REFERENCES_NEEDED,
        ),
    ],
)
def test_settings_that_cannot_be(content, line):
    with pytest.raises(InputError, match=f"^{line}$"):
        RunSettings.from_dict({"dataset": "shapes", **content})


def test_round_trip(every_setting, tmp_path):
    search = {**every_setting["search"], "n_best": 3}
    every = {"dataset": "folder", **every_setting, "search": search}
    settings = RunSettings.from_dict(every)
    assert settings.as_dict() == every
    settings.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == every
    assert RunSettings.load(tmp_path) == settings
    default = RunSettings("folder").as_dict()
    for part, fields in every.items():
        if isinstance(fields, dict):
            assert all(default[part].get(name) != value for name, value in fields.items()), part


def test_what_is_not_named_has_its_default():
    settings = RunSettings.from_dict({"dataset": "shapes", "decoder": {"units": 7}})
    assert settings.decoder.units == 7
    assert (settings.decoder.embedding_size, settings.training.epochs) == (512, 5)
    assert settings.search.as_dict() == {
        "beam_width": 1,
        "length_penalty": 0.0,
        "no_repeat_ngram": 0,
        "n_best": 1,
    }


@pytest.mark.parametrize(
    ("attention", "name"),
    [("soft", "cross-entropy"), ("hard", "reinforce"), ("none", "cross-entropy")],
)
def test_the_objective_that_fits_the_attention(attention, name):
    content = {"decoder": {"attention": attention}, "objective": {"entropy": 0.25}}
    objective = RunSettings.from_dict({"dataset": "shapes", **content}).objective
    # All of its settings are written down, with what is named.
    assert objective["name"] == name
    assert (objective["entropy"], objective["doubly_stochastic"]) == (0.25, 1.0)


@pytest.mark.parametrize(
    ("content", "reads_photos"),
    [
        ({}, False),
        ({"training": {"fine_tune": "all"}}, True),
        ({"training": {"fine_tune": "conv_pw_10"}}, True),
        ({"data": {"augment": True}}, True),
    ],
)
def test_what_reads_photos_at_each_step(content, reads_photos):
    assert RunSettings.from_dict({"dataset": "shapes", **content}).reads_photos == reads_photos


@pytest.mark.parametrize(
    "text",
    [
        '{"dataset": "shapes", "wings": 2}',
        '{"dataset": "shapes"',
        '["shapes"]',
        '{"decoder": {"units": 8}}',
        '{"dataset": "shapes", "training": {"epochs": 0}}',
        '{"dataset": "shapes", "objective": "reinforce"}',
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"^.*config\.json: not the settings of a run \(.+\)$"):
        RunSettings.load(tmp_path)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match=f"^{tmp_path}: not a run folder \\(no config.json in it"):
        RunSettings.load(tmp_path)


def test_settings_of_version_0_1_are_refused_in_one_line(tmp_path):
    # As that version wrote them, shortened: all in one level.
    old = {"dataset": "flickr8k", "encoder": "mobilenet_v2", "train_encoder": False, "units": 512}
    old |= {"epochs": 5, "batch_size": 64, "learning_rate": 0.0004, "self_critical": False}
    (tmp_path / "config.json").write_text(json.dumps(old))
    line = f"{tmp_path}: a run of sat_keras 0.1; train it again, or use that version"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        RunSettings.load(tmp_path)
