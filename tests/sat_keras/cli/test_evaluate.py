import json
import re
from pathlib import Path

import keras
import pytest

from sat_keras import cli
from sat_keras.datasets import build_records
from sat_keras.runs.folder import load_run
from sat_keras.runs.sources import load_consensus


@pytest.mark.slow
def test_run_and_file_alike(trained, tmp_path, capsys):
    results = []
    for model in (trained["run"], trained["tflite"]):
        out = tmp_path / "results" / "one.json"
        arguments = ["evaluate", model, "flickr8k", "--split=train", "--json", f"--out={out}"]
        capsys.readouterr()
        assert cli.main([*arguments, *trained["places"]]) == 0
        results.append(json.loads(out.read_text()))
        printed = json.loads(capsys.readouterr().out)
        assert printed.items() >= results[-1]["scores"].items()
    run, file = results
    assert run["scores"]["photos"] == 4
    assert run["captions"] == file["captions"]
    assert [each["image_id"] for each in run["captions"]] == [f"{i}.jpg" for i in range(4)]
    assert run["scores"]["BLEU-4"] == file["scores"]["BLEU-4"]
    assert run["settings"]["run"]["decoder"]["units"] == 8
    assert file["settings"]["file"]["trained_on"] == "flickr8k"
    assert run["versions"]["keras"] == keras.__version__
    assert run["settings"]["split"] == "train"


def test_the_search_that_was_used_is_written(trained, without_java, tmp_path, capsys):
    """That of the captioner, with the fields that are named."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "vocabulary.txt"):
        (run / name).write_bytes((Path(trained["run"]) / name).read_bytes())
    captioner = load_run(trained["run"])
    captioner.search = captioner.search.override(beam_width=3, length_penalty=0.5)
    captioner.save(run / "captioner.keras")
    own = {"beam_width": 3, "length_penalty": 0.5, "no_repeat_ngram": 0, "n_best": 1}
    greedy = {**own, "beam_width": 1, "length_penalty": 0.0}
    for source, options, wanted in (
        (trained["run"], [], greedy),
        (trained["tflite"], [], greedy),
        (trained["tflite"], ["--beam-width=3", "--length-penalty=0.5"], own),
        (run, [], own),
        (run, ["--beam-width=1"], {**own, "beam_width": 1}),
        (run, ["--no-repeat-ngram=2"], {**own, "no_repeat_ngram": 2}),
    ):
        out = tmp_path / "scores.json"
        evaluated = ["evaluate", str(source), "flickr8k", f"--out={out}", *options, "--json"]
        capsys.readouterr()
        assert cli.main([*evaluated, *trained["places"]]) == 0
        found = json.loads(out.read_text())
        assert found["settings"].items() >= wanted.items()
        assert json.loads(capsys.readouterr().out).items() >= wanted.items()
        _, data, *_ = trained["places"]
        search = {name: value for name, value in wanted.items() if name != "n_best"}
        photo = Path(data) / "Flicker8k_Dataset" / "5.jpg"
        (expected,) = captioner.caption([photo], **search)
        assert found["captions"] == [{"image_id": "5.jpg", "caption": expected.text}]


def test_grounding_where_the_photos_have_boxes(trained, with_boxes, without_java, tmp_path, capsys):
    """In the results file; and as two tables of a few lines, not a line for each number."""
    out, grounding = tmp_path / "scores.json", []
    for model in (trained["run"], trained["tflite"]):
        evaluated = ["evaluate", model, "flickr8k", "--split=train", f"--out={out}", *with_boxes]
        capsys.readouterr()
        assert cli.main(evaluated) == 0
        printed = capsys.readouterr().out
        grounding.append(json.loads(out.read_text())["scores"]["grounding"])
    run, file = grounding
    assert list(run["references"]) == ["all", "other"] and set(run) == {"references", "own"}
    assert run["references"]["all"]["phrases"] == 4 * 2
    assert run["references"]["all"] == run["references"]["other"]
    for name in ("pointing", "mass"):
        both = (each["references"]["all"][name] for each in (run, file))
        assert next(both) == pytest.approx(next(both), abs=1e-3)
    title, parts, *rows = printed[printed.index("grounding: references") :].splitlines()[:4]
    assert title.split()[2:] == ["phrases", "pointing", "mass", "correctness"]
    maps = ["attention", "uniform", "middle", "best_fixed"]
    assert parts.split() == maps * 2
    row = file["references"]["all"]
    numbers = (*row["pointing"].values(), *row["mass"].values(), row["correctness"])
    assert rows[0].split() == ["all", "8", *(f"{each:.4f}" for each in numbers)]
    assert rows[1].split() == ["other", *rows[0].split()[1:]]
    assert sum("grounding" in line for line in printed.splitlines()) == 2


def test_without_boxes_the_results_name_no_grounding(trained, without_java, tmp_path):
    out = tmp_path / "scores.json"
    evaluated = ["evaluate", trained["run"], "flickr8k", f"--out={out}", *trained["places"]]
    assert cli.main(evaluated) == 0
    assert "grounding" not in json.loads(out.read_text())["scores"]


def test_a_preset_takes_a_runs_place(trained, without_java, tmp_path):
    load_run(trained["run"]).save_to_preset(tmp_path / "mine")
    out = tmp_path / "scores.json"
    evaluated = ["evaluate", str(tmp_path / "mine"), "flickr8k", *trained["places"]]
    assert cli.main([*evaluated, "--out", str(out)]) == 0
    assert json.loads(out.read_text())["settings"]["preset"] == str(tmp_path / "mine")


def test_fewer_photos(trained, without_java, capsys):
    evaluated = ["evaluate", trained["tflite"], "flickr8k", "--split=train", "--limit=2", "--json"]
    capsys.readouterr()
    assert cli.main([*evaluated, *trained["places"]]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["photos"], result["limit"]) == (2, 2)


@pytest.mark.slow
def test_by_consensus(trained, without_java, tmp_path, capsys, fails):
    run, (_, data, _, cache), out = trained["run"], trained["places"], tmp_path / "scores.json"
    search = ["--beam-width=20", "--length-penalty=0.5", "--split=test", f"--out={out}"]
    evaluated = ["evaluate", run, "flickr8k", *search, *trained["places"]]
    builder = build_records("flickr8k", Path(cache) / "records", data)
    consensus = load_consensus([run], builder, Path(cache) / "annotations")
    wanted = consensus.caption([Path(data) / "Flicker8k_Dataset" / "5.jpg"])[0].text
    for others in ([], [run]):
        assert cli.main([*evaluated, "--consensus", *others]) == 0
        found = json.loads(out.read_text())
        assert found["captions"] == [{"image_id": "5.jpg", "caption": wanted}]
        made_with = {"run": found["settings"]["run"]}
        assert found["settings"]["consensus"] == dict.fromkeys(others, made_with)
        assert found["settings"]["beam_width"] == 20
    assert re.search(rf"^consensus +{re.escape(run)}$", capsys.readouterr().out, re.M)
    assert cli.main(evaluated) == 0
    assert json.loads(out.read_text())["captions"] != found["captions"]  # the beam's own
    fails([*evaluated, "--consensus", "--split=train"], "name another split")
    fails([*evaluated, "--consensus", "--beam-width=1"], "name a beam width above 1")
    fails([*evaluated, "--consensus", tmp_path], f"{tmp_path}: not a run folder")


def test_an_output_that_is_a_folder_is_refused_and_kept(trained, fails):
    export = ["export", trained["run"], "--out", trained["run"]]
    fails(export, f"{trained['run']} is a folder: name a file")
    assert load_run(trained["run"])
