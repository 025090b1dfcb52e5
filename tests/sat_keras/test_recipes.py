"""Recipes: phases that can be trained, whose docstrings say how, how long and how well."""

import json
import re
from pathlib import Path

import pytest

from sat_keras import pretrained
from sat_keras.cli.main import build_parser
from sat_keras.recipes import RECIPES
from sat_keras.runs.phases import new_phases, phase_settings
from sat_keras.runs.training import check_names

RESULTS = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
PRESETS = {"soft-mobilenet-v2": "flickr8k-soft", "soft-efficientnet-lite2": "flickr8k-soft-lite2"}

every_recipe = pytest.mark.parametrize("name", RECIPES)


def settings_of(name, tmp_path):
    phases = new_phases(tmp_path / "run", "flickr8k", RECIPES[name](), {})
    return phases, phase_settings(tmp_path / "run", phases)


@every_recipe
def test_its_phases_can_be_trained(name, tmp_path):
    phases, found = settings_of(name, tmp_path)
    for settings in found.values():
        check_names(settings)
    json.dumps(phases)  # they go into a file
    starts = [each.training.warm_start for each in found.values()]
    assert starts == [None, *(str(folder) for folder in list(found)[:-1])]
    # Phases share the network: the decoder's sizes, the encoder, and the search.
    shapes = {(each.encoder, each.decoder.units, each.search) for each in found.values()}
    assert len(shapes) == 1
    assert RECIPES[name]() is not RECIPES[name]()  # nobody changes another's


def test_what_recipes_are_made_of(tmp_path):
    objectives, tuned = {}, {}
    for name in RECIPES:
        _, found = settings_of(name, tmp_path)
        objectives[name] = [each.objective["name"] for each in found.values()]
        tuned[name] = [each.training.fine_tune for each in found.values()]
    three = ["cross-entropy", "cross-entropy", "self-critical"]
    assert objectives == {
        "demo": ["cross-entropy"],
        "soft-mobilenet-v2": three,
        "hard-mobilenet-v2": ["cross-entropy", "cross-entropy", "reinforce", "self-critical"],
        "soft-efficientnet-lite2": three,
    }
    assert tuned == {
        "demo": ["all"],
        "soft-mobilenet-v2": [None, "block_6_expand", None],
        "hard-mobilenet-v2": [None, "block_6_expand", None, None],
        "soft-efficientnet-lite2": [None, "block4a_expand_conv", None],
    }


def test_hard_attention_begins_behind_soft_attention_s_phases():
    soft, hard = RECIPES["soft-mobilenet-v2"](), RECIPES["hard-mobilenet-v2"]()
    for phase in ("cross-entropy", "fine-tuned"):
        assert hard[phase] == soft[phase]
    kinds = [each["decoder"]["attention"] for each in hard.values()]
    assert kinds == ["soft", "soft", "hard", "hard"]


@every_recipe
def test_its_docstring_has_the_command(name):
    (command,) = re.findall(r"Command: `(sat-keras [^`]+)`", RECIPES[name].__doc__)
    options = build_parser().parse_args(command.split()[1:])
    verb = options.verb.__name__.rpartition(".")[2]
    if name == "demo":
        assert verb == "demo"
    else:
        assert (verb, options.recipe, options.dataset) == ("train", name, "flickr8k")


@every_recipe
def test_its_docstring_has_the_time_and_the_score(name):
    text = " ".join(RECIPES[name].__doc__.split())
    assert re.search(r"\. (\d+\.\d hours|Seven minutes on two cores)\. BLEU-4 \d\d\.\d", text)
    if name == "demo":
        return
    scores = re.search(r"BLEU-4 ([\d.]+), METEOR ([\d.]+), CIDEr (\d\.\d+)", text).groups()
    (row,) = re.findall(rf"^\| {name}, 0 \|.*\| test \| beam \|.*$", RESULTS, re.M)
    cells = [each.strip() for each in row.split("|")]
    bleu_4, meteor, _, cider = cells[8:12]
    assert scores == (bleu_4, meteor, cider)


@pytest.mark.parametrize(("name", "preset"), PRESETS.items())
def test_the_package_s_presets_are_of_recipes(name, preset, tmp_path):
    assert preset in pretrained.NAMES
    *_, settings = settings_of(name, tmp_path)[1].values()
    config = json.loads((Path(pretrained.__file__).parent / preset / "config.json").read_text())
    assert config["search"] == settings.search.as_dict()
    encoder = config["encoder"]
    assert encoder["backbone"] == settings.encoder.name
    assert encoder["image_size"] == [settings.encoder.image_size] * 2
    for field in ("layer", "alpha", "patches"):
        assert encoder[field] == getattr(settings.encoder, field)
    for field, value in vars(settings.decoder).items():
        assert config[field] == value
