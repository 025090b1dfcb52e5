"""Phases: what is named replaces a recipe's settings, and what cannot be is refused."""

import json
import re
import shutil

import pytest

from sat_edge import InputError
from sat_keras.runs.phases import alike, check_resumed, load_phases, new_phases, phase_settings
from sat_keras.runs.settings import RunSettings

RECIPE = {
    "first": {"objective": {"name": "cross-entropy", "entropy": 0.5}, "training": {"epochs": 2}},
    "second": {
        "objective": {"name": "self-critical", "reward_meteor": 5.0},
        "data": {"captions_per_photo": 5, "batch_size": 10},
        "training": {"epochs": 1, "learning_rate": 0.1},
    },
}


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def settings_named(run, recipe, named):
    """The settings of each phase, in their order."""
    return list(phase_settings(run, new_phases(run, "shapes", recipe, named)).values())


# === What is named ===


def test_what_is_named_replaces_a_setting_of_every_phase(run):
    named = {"decoder": {"units": 7}, "training": {"epochs": 9}}
    first, second = settings_named(run, RECIPE, named)
    assert (first.dataset, second.dataset) == ("shapes", "shapes")
    assert (first.decoder.units, second.decoder.units) == (7, 7)
    assert (first.training.epochs, second.training.epochs) == (9, 9)
    assert second.training.learning_rate == 0.1  # beside it in the same part
    assert second.data.captions_per_photo == 5
    assert RECIPE["second"]["training"]["epochs"] == 1


def test_an_objective_s_setting_reaches_the_phases_that_have_it(run):
    named = {"objective": {"label_smoothing": 0.1, "temperature": 0.8}}
    first, second = settings_named(run, RECIPE, named)
    assert (first.objective["name"], second.objective["name"]) == ("cross-entropy", "self-critical")
    assert (first.objective["label_smoothing"], first.objective["entropy"]) == (0.1, 0.5)
    assert (second.objective["temperature"], second.objective["reward_meteor"]) == (0.8, 5.0)
    assert "temperature" not in first.objective and "label_smoothing" not in second.objective


def test_another_objective_replaces_a_recipe_s(run):
    first, second = settings_named(run, RECIPE, {"objective": {"name": "cross-entropy"}})
    assert first.objective["entropy"] == 0.5  # the same objective keeps its settings
    assert second.objective == RunSettings("shapes").objective  # another begins with its defaults
    named = {"objective": {"name": "reinforce", "samples": 3}, "decoder": {"attention": "hard"}}
    for each in settings_named(run, RECIPE, named):
        assert each.objective["name"] == "reinforce"
        assert (each.objective["samples"], each.objective["entropy"]) == (3, 0.0)


@pytest.mark.parametrize("parts", [("objective", "decoder"), ("decoder", "objective")])
def test_an_objective_s_setting_alone_goes_to_the_one_that_fits_the_attention(run, parts):
    values = {"objective": {"entropy": 0.01}, "decoder": {"attention": "hard"}}
    (settings,) = settings_named(run, {"": {}}, {part: values[part] for part in parts})
    assert (settings.objective["name"], settings.objective["entropy"]) == ("reinforce", 0.01)


@pytest.mark.parametrize(
    ("recipe", "setting", "of"),
    [
        ({"": {}}, "samples", "cross-entropy"),
        ({"": {"decoder": {"attention": "hard"}}}, "temperature", "reinforce"),
        (RECIPE, "expectation", "cross-entropy, self-critical"),
    ],
)
def test_an_objective_s_setting_that_no_phase_has_is_refused(run, recipe, setting, of):
    line = f"{setting} is no setting of objective {of}: leave it out, or name its objective"
    with pytest.raises(InputError, match=f"^{line}$"):
        new_phases(run, "shapes", recipe, {"objective": {setting: 1}})


def test_a_bad_value_is_refused_wherever_it_comes_from(run):
    with pytest.raises(InputError, match="^epochs is 0: name 1 or more$"):
        new_phases(run, "shapes", RECIPE, {"training": {"epochs": 0}})
    with pytest.raises(InputError, match="^seed is -1"):
        new_phases(run, "shapes", {"": {"training": {"seed": -1}}}, {})


@pytest.mark.parametrize("name", ["config.json", "recipe.json"])
def test_a_run_is_not_written_over(run, name):
    run.mkdir()
    (run / name).touch()
    line = f"{run}: a run is there; --resume it or name another folder"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        new_phases(run, "shapes", RECIPE, {})


# === Folders ===


def test_each_phase_has_a_folder_and_begins_with_the_one_before(run):
    phases = new_phases(run, "shapes", RECIPE, {"training": {"warm_start": "flickr8k-soft"}})
    found = phase_settings(run, phases)
    assert list(found) == [run / "first", run]
    starts = [each.training.warm_start for each in found.values()]
    assert starts == ["flickr8k-soft", str(run / "first")]


def test_a_run_that_moved_is_alike(run, tmp_path):
    content = {"dataset": "shapes", "training": {"warm_start": str(run / "first")}}
    moved = {"dataset": "shapes", "training": {"warm_start": str(tmp_path / "first")}}
    one, other = RunSettings.from_dict(content), RunSettings.from_dict(moved)
    assert alike(one, other)
    assert not alike(one, RunSettings("shapes"))
    longer = {**moved, "training": {**moved["training"], "epochs": 9}}
    assert not alike(one, RunSettings.from_dict(longer))


def test_phases_of_a_folder(run):
    settings = RunSettings.from_dict({"dataset": "shapes", "decoder": {"units": 3}})
    settings.save(run)
    assert load_phases(run) == {"": settings.as_dict()}
    phases = new_phases(run.with_name("other"), "shapes", RECIPE, {})
    (run / "recipe.json").write_text(json.dumps(phases))
    assert load_phases(run) == phases


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RECIPE)[:20],
        "[1]",
        "{}",
        '{"": 3}',
        '{"": {"color": "red"}}',
        json.dumps(RECIPE),  # of no data set
    ],
)
def test_damaged_phases(tmp_path, text):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InputError, match=r"^.*recipe\.json: damaged \(.*\); train again, elsew"):
        load_phases(tmp_path)


def test_phases_of_version_0_1_are_refused_in_one_line(tmp_path):
    old = {"dataset": "flickr8k", "encoder": "mobilenet_v2", "learning_rate": 0.0008}
    (tmp_path / "recipe.json").write_text(json.dumps({"cross-entropy": old}))
    line = f"{tmp_path}: a run of sat_keras 0.1; train it again, or use that version"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        load_phases(tmp_path)


def test_no_run_to_load(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        load_phases(tmp_path)


# === Going on ===


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"dataset": "shapes", "training": {"learning_rate": 0.01, "seed": 0}},
        {"objective": {"reward_meteor": 5.0, "entropy": 0.5}},
        {"search": {"beam_width": 3}},
        {"training": {"warm_start": "flickr8k-soft"}},
    ],
)
def test_a_run_goes_on_with_what_it_has(run, named):
    check_resumed(run, begun(run), named)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"dataset": "coco"}, "another dataset"),
        ({"decoder": {"units": 9}}, "another units"),
        ({"search": {"length_penalty": 1.0}}, "another length_penalty"),
        ({"objective": {"name": "cross-entropy"}}, "another objective"),
        ({"encoder": {"name": "mobilenet"}}, "another encoder"),
        ({"objective": {"reward_meteor": 1.0}}, "another reward_meteor"),
        ({"training": {"epochs": 2}}, "another epochs"),  # the other phase's
        ({"training": {"warm_start": "flickr8k-soft-lite2"}}, "another warm_start"),
    ],
)
def test_other_settings_are_refused(run, named, says):
    line = f"{run}: was begun with {says}; leave it out"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        check_resumed(run, begun(run), named)


def test_a_setting_of_no_phase_is_refused_where_a_run_goes_on(run):
    with pytest.raises(InputError, match="^samples is no setting of objective cross-entropy, self"):
        check_resumed(run, begun(run), {"objective": {"samples": 1}})


def begun(run):
    """The phases of a run as they are read back."""
    named = {"search": {"beam_width": 3}, "training": {"warm_start": "flickr8k-soft"}}
    recipe = {name: {**each, "training": {"learning_rate": 0.01}} for name, each in RECIPE.items()}
    recipe["first"]["training"]["epochs"] = 2
    phases = new_phases(run, "shapes", recipe, named)
    run.mkdir()
    (run / "recipe.json").write_text(json.dumps(phases))
    found = load_phases(run)
    shutil.rmtree(run)
    return found
