"""Options: each has its help and its default, and reaches the setting of its name."""

import argparse
import dataclasses

import pytest

from sat_edge.search import Search
from sat_keras.cli.main import build_parser
from sat_keras.cli.options import named
from sat_keras.objectives import Objective
from sat_keras.runs.settings import PARTS, RunSettings


def verbs():
    (choices,) = (each.choices for each in build_parser()._actions if each.dest == "==SUPPRESS==")
    return choices


def options_of(verb):
    return {each.dest: each for each in verbs()[verb]._actions if each.option_strings}


@pytest.mark.parametrize("verb", verbs())
def test_every_option_has_a_help_text(verb):
    for name, option in options_of(verb).items():
        assert option.help and option.help != argparse.SUPPRESS, name
        assert option.help[0].islower() and not option.help.endswith("."), option.help


FIELDS = [  # (part, field) of every setting that `train` takes
    *(
        (part, field)
        for part, of in PARTS.items()
        if part != "search"
        for field in dataclasses.fields(of)
    ),
    *(
        ("objective", field)
        for objective in Objective.known.values()
        for field in dataclasses.fields(objective)
        if field.name in objective.setting_names()
    ),
]


@pytest.mark.parametrize(
    ("part", "field"), FIELDS, ids=[f"{part}.{field.name}" for part, field in FIELDS]
)
def test_train_s_help_has_each_setting_s_text_and_default(part, field):
    option = options_of("train")[f"{part}.{field.name}"]
    text = option.help % {"default": "?", "prog": "?"}  # as argparse fills it in
    assert field.metadata["help"] in text
    if field.default is None:
        assert "default" not in text
        assert "if not named" in text or field.name == "warm_start"
    else:
        assert text.endswith(f"(default: {field.default})")
    names = [each for each in option.option_strings if not each.startswith("--no-")]
    assert names == [f"--{(field.metadata['option'] or field.name).replace('_', '-')}"]


def test_search_s_defaults_are_greedy_search_s_in_training_alone():
    for name, default in Search().as_dict().items():
        if name == "n_best":  # a command prints one caption
            continue
        option = options_of("train")[f"search.{name}"]
        assert option.help.endswith(f"(default: {default})")
        for verb in ("evaluate", "report", "caption", "export"):
            assert "default" not in options_of(verb)[f"search.{name}"].help


EVERY_OPTION = """
    --encoder mobilenet --encoder-weights w.h5 --alpha 0.5 --layer conv_pw_5_relu --image-size 96
    --patches 2 --fine-layer conv_pw_3_relu
    --attention hard --scorer bilinear --inject first --units 7 --embedding-size 6
    --attention-size 5 --dropout 0.25 --max-length 9 --objective reinforce --label-smoothing 0.1
    --doubly-stochastic 0.5 --entropy 0.01 --scheduled-sampling 0.2 --grounding 0.6
    --expectation 0.4 --samples 3
    --batch-size 30 --captions-per-photo 5 --augment --min-count 2 --epochs 3 --patience 2
    --learning-rate 0.01 --warmup 10 --clip-norm 1 --fine-tune conv_pw_4 --warm-start runs/soft
    --precision mixed_bfloat16 --seed 4 --beam-width 4 --length-penalty 0.7 --no-repeat-ngram 2
"""


def parse(*arguments):
    return build_parser().parse_args(["train", "shapes", "--out", "x", *arguments])


def test_every_option_reaches_its_setting(every_setting):
    assert named(parse(*EVERY_OPTION.split())) == every_setting
    settings = RunSettings.from_dict({"dataset": "shapes", **every_setting}).as_dict()
    for part, fields in every_setting.items():
        assert {name: settings[part][name] for name in fields} == fields
    others = parse("--objective=self-critical", "--temperature=0.9", "--reward-meteor=2")
    wanted = {"name": "self-critical", "temperature": 0.9, "reward_meteor": 2.0}
    assert named(others) == {"objective": wanted}


def test_what_is_not_named_is_not_there():
    assert named(parse()) == {}
    assert named(parse("--no-augment")) == {"data": {"augment": False}}
    assert named(parse("--beam-width=3"), "search") == {"beam_width": 3}
    assert named(parse(), "search") == {}


def test_every_scheme_can_be_named():
    from sat_export.compression import PATTERNS
    from sat_export.distillation import LOSSES
    from sat_export.schemes import DECODER_SCHEMES, SCHEMES

    choices = {name: each.choices for name, each in options_of("export").items()}
    assert choices["quantize"] == tuple(SCHEMES)
    assert choices["quantize_decoder"] == DECODER_SCHEMES
    assert choices["qat_loss"] == LOSSES and choices["pattern"] == PATTERNS
