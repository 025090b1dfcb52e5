"""The command as people use it: results, exit statuses, one-line errors, nothing half-written."""

import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from sat_edge import Captioner as EdgeCaptioner
from sat_export import export_tflite
from sat_keras import cli
from sat_keras.datasets import build_records
from sat_keras.run import load_consensus, load_run

TINY_SETTINGS = {
    "encoder": "mobilenet",
    "alpha": 0.25,
    "layer": "conv_pw_11_relu",
    "image-size": 32,
    "units": 8,
    "embedding-size": 8,
    "attention-size": 8,
    "batch-size": 8,
    "min-count": 1,
}
TINY = [f"--{name}={value}" for name, value in TINY_SETTINGS.items()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_flickr8k):
    """A run on six tiny photos, its cache, and its exported file."""
    folder = tmp_path_factory.mktemp("trained")
    data = make_flickr8k(folder / "flickr8k")
    places = ["--data-dir", str(data), "--cache", str(folder / "cache")]
    run = str(folder / "run")
    training = ["train", "flickr8k", "--out", run, "--epochs=6", "--learning-rate=0.03"]
    assert cli.main([*training, *places, *TINY]) == 0
    assert cli.main(["export", run, "--out", str(folder / "captioner.tflite")]) == 0
    return {"run": run, "tflite": str(folder / "captioner.tflite"), "places": places}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype="uint8")
    Image.fromarray(pixels).save(path)
    return str(path)


def fails(capsys, arguments, says, status=1):
    assert cli.main([str(each) for each in arguments]) == status
    error = [each for each in capsys.readouterr().err.splitlines() if each.startswith("sat-keras:")]
    assert len(error) == 1
    assert says in error[0]


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for verb in (
        "demo",
        "prepare",
        "train",
        "evaluate",
        "report",
        "caption",
        "export",
        "verify",
        "benchmark",
    ):
        assert verb in out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train", "shapes"],
        ["export", "run", "--quantize=int1", "--out=x"],
        ["caption", "run", "photo.jpg", "--beam-width=0"],
    ],
)
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


def test_beam_search_from_the_run_and_from_the_file(trained, photo, capsys):
    search = ["--beam-width=3", "--length-penalty=0.5", "--no-repeat-ngram=2", "--json"]
    rows = []
    for model in (trained["run"], trained["tflite"]):
        assert cli.main(["caption", model, photo, *search]) == 0
        rows += json.loads(capsys.readouterr().out)["captions"]
    assert rows[0]["caption"] == rows[1]["caption"]
    assert rows[0]["log_prob"] == pytest.approx(rows[1]["log_prob"], abs=1e-3)
    assert cli.main(["caption", trained["run"], photo, "--json"]) == 0
    greedy = json.loads(capsys.readouterr().out)["captions"][0]
    words = rows[0]["caption"].split()
    assert len(set(itertools.pairwise(words))) == max(len(words) - 1, 0)
    assert rows[0] != greedy

    evaluated = ["evaluate", trained["tflite"], "flickr8k", *trained["places"], *search]
    assert cli.main(evaluated) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["beam_width"], result["length_penalty"], result["photos"]) == (3, 0.5, 1)


def test_prepare_then_train_uses_the_cache(flickr8k, tmp_path, capsys):
    places = ["--data-dir", str(flickr8k), "--cache", str(tmp_path / "cache")]
    tiny = TINY[:4]  # the encoder's
    assert cli.main(["prepare", "flickr8k", "--json", *places, *tiny]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["train"].startswith("4 photos, ")
    assert len(list((tmp_path / "cache" / "annotations").iterdir())) == 3


def test_caption_in_json_is_one_object(trained, photo, capsys):
    answers = []
    for model in (trained["run"], trained["tflite"]):
        assert cli.main(["caption", model, photo, "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["captions"]
        assert row["photo"] == photo
        answers.append(row)
    assert answers[0]["caption"] == answers[1]["caption"]
    assert answers[0]["log_prob"] == pytest.approx(answers[1]["log_prob"], abs=1e-3)


def test_a_preset_takes_a_runs_place(trained, photo, tmp_path, capsys):
    load_run(trained["run"]).save_to_preset(tmp_path / "mine")
    found = []
    for model in (trained["run"], str(tmp_path / "mine")):
        assert cli.main(["caption", model, photo, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["captions"][0]["caption"])
    assert found[0] == found[1]
    out = tmp_path / "scores.json"
    evaluated = ["evaluate", str(tmp_path / "mine"), "flickr8k", *trained["places"]]
    assert cli.main([*evaluated, "--out", str(out)]) == 0
    assert json.loads(out.read_text())["settings"]["preset"] == str(tmp_path / "mine")


@pytest.mark.slow
def test_a_preset_is_exported_and_verified(trained, tmp_path, capsys):
    preset, file = tmp_path / "mine", str(tmp_path / "captioner.tflite")
    captioner = load_run(trained["run"])
    verified = ["verify", str(preset), file, "--split=train", *trained["places"], "--json"]
    captioner.save_to_preset(preset)
    assert cli.main(["export", str(preset), "--out", file]) == 0
    assert EdgeCaptioner(file).settings["trained_on"] is None
    fails(capsys, verified, "mine: does not say what it was trained on")
    captioner.save_to_preset(preset, trained_on="flickr8k")
    assert cli.main(["export", str(preset), "--out", file]) == 0
    assert EdgeCaptioner(file).settings["trained_on"] == "flickr8k"
    capsys.readouterr()
    assert cli.main(verified) == 0
    assert json.loads(capsys.readouterr().out)["same"] == 1.0


def test_attention_pictures(trained, photo, tmp_path):
    assert cli.main(["caption", trained["tflite"], photo, "--attention", str(tmp_path / "a")]) == 0
    assert [each.name for each in (tmp_path / "a").iterdir()] == ["photo.png.png"]


def test_evaluate_by_consensus(trained, tmp_path, capsys):
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
    assert re.search(rf"^consensus +{re.escape(run)}$", capsys.readouterr().out, re.M)
    assert cli.main(evaluated) == 0
    assert json.loads(out.read_text())["captions"] != found["captions"]  # the beam's own
    fails(capsys, [*evaluated, "--consensus", "--split=train"], "name another split")
    fails(capsys, [*evaluated, "--consensus", "--beam-width=1"], "--beam-width above 1")
    fails(capsys, [*evaluated, "--consensus", tmp_path], f"{tmp_path}: not a run folder")


def test_evaluate_run_and_file_alike(trained, tmp_path, capsys):
    results = []
    for model in (trained["run"], trained["tflite"]):
        out = tmp_path / "results" / "one.json"
        arguments = ["evaluate", model, "flickr8k", "--split=train", "--json", f"--out={out}"]
        assert cli.main([*arguments, *trained["places"]]) == 0
        results.append(json.loads(out.read_text()))
        printed = json.loads(capsys.readouterr().out)
        assert printed.items() >= results[-1]["scores"].items()
    run, file = results
    assert run["scores"]["photos"] == 4
    assert run["captions"] == file["captions"]
    assert [each["image_id"] for each in run["captions"]] == [f"{i}.jpg" for i in range(4)]
    assert run["scores"]["BLEU-4"] == file["scores"]["BLEU-4"]
    assert run["settings"]["run"]["units"] == 8
    assert file["settings"]["file"]["trained_on"] == "flickr8k"
    assert run["versions"]["keras"] == keras.__version__
    assert run["settings"]["split"] == "train" and run["settings"]["beam_width"] == 1


@pytest.mark.slow
def test_verify(trained, tmp_path, capsys):
    out = tmp_path / "verified.json"
    arguments = ["verify", trained["run"], trained["tflite"], "--split=train", f"--out={out}"]
    assert cli.main([*arguments, *trained["places"], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert (printed["same"], printed["photos"]) == (1.0, 4)
    assert cli.main([*arguments, *trained["places"]]) == 0
    assert re.search(r"contents: operators: WHILE +1\n", capsys.readouterr().out)


@pytest.mark.slow
def test_verify_ends_with_1_where_it_is_another(trained, make_captioner, tmp_path, capsys):
    other = tmp_path / "other.tflite"
    export_tflite(make_captioner(), other)
    arguments = ["verify", trained["run"], other, "--split=train", *trained["places"]]
    fails(capsys, arguments, "other.tflite: its vocabulary is not the captioner's")


@pytest.mark.slow
def test_benchmark(trained, photo, capsys):
    arguments = ["benchmark", trained["tflite"], photo, "--run", trained["run"], "--json"]
    assert cli.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["threads"]) == {"1", "2"} and found["keras_ms"] > 0
    fails(capsys, ["benchmark", trained["tflite"], "nowhere.jpg"], "nowhere.jpg: no such file")


@pytest.mark.slow
def test_export_for_serving(trained, tmp_path, capsys):
    export = ["export", trained["run"], "--out", tmp_path / "model"]
    fails(capsys, [*export, "--beam-width=2"], "takes its beam width when it captions")
    export += ["--format=saved-model"]
    fails(capsys, [*export, "--quantize=dynamic"], "a SavedModel is float32")
    assert not list(tmp_path.iterdir())
    assert cli.main([str(each) for each in [*export, "--beam-width=2", "--json"]]) == 0
    folder = Path(json.loads(capsys.readouterr().out)["folder"])
    assert (folder.name, (folder / "saved_model.pb").is_file()) == ("1", True)


def test_report(trained, tmp_path, capsys):
    page = tmp_path / "report.html"
    arguments = ["report", trained["run"], "--split=train", f"--out={page}", "--json"]
    assert cli.main([*arguments, *trained["places"]]) == 0
    printed = json.loads(capsys.readouterr().out)
    text = page.read_text()
    assert not re.search(r"""(src|href|url)[=(]["']?http""", text)
    assert f"BLEU-4<b>{printed['BLEU-4']:.3f}</b>" in text

    # Four photos, by lot, from the best on and from the worst on: their order is by CIDEr.
    drawn, best, worst = (
        re.findall(r'<img alt="(\d.jpg)".*?CIDEr ([\d.]+)', part, re.DOTALL)
        for part in text.split("<h2>")[2:5]
    )
    assert sorted(drawn) == sorted(best) == sorted(worst)
    assert {name for name, _ in drawn} == {f"{i}.jpg" for i in range(4)}
    assert [cider for _, cider in best] == sorted((cider for _, cider in best), reverse=True)
    assert worst == best[::-1] and best != worst

    # Each word with its picture, each photo with its references.
    out = tmp_path / "results.json"
    arguments = ["evaluate", trained["run"], "flickr8k", "--split=train", f"--out={out}"]
    assert cli.main([*arguments, *trained["places"]]) == 0
    captions = [each["caption"] for each in json.loads(out.read_text())["captions"]]
    words = sum(len(caption.split()) for caption in captions)
    assert text.count('data-overlay="data:image/jpeg;base64,/9j/') == 3 * words
    assert text.count("<li>A red square on grey .</li>") == 3 * 2


def test_results_are_in_coco_captions_format(tmp_path):
    """pycocotools, the field's own reader, takes the captions; ids are COCO's numbers."""
    pycocotools = pytest.importorskip("pycocotools.coco")
    from sat_keras.evaluation import _image_id, save_results

    class Builder:
        name = "coco"

    name = "COCO_val2014_000000391895.jpg"
    captions = [{"image_id": _image_id(Builder, name), "caption": "a man on a bike"}]
    save_results(tmp_path / "all.json", {"BLEU-4": 0.25}, captions, {"split": "test"})
    found = json.loads((tmp_path / "all.json").read_text())["captions"]
    coco = pycocotools.COCO()
    coco.dataset = {"images": [{"id": 391895}], "annotations": []}
    coco.createIndex()
    results = coco.loadRes(found)
    assert results.imgToAnns[391895][0]["caption"] == "a man on a bike"


def test_one_bad_photo_does_not_lose_the_others(trained, photo, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("no photo")
    arguments = ["caption", trained["tflite"], str(tmp_path / "text.jpg"), photo, "--json"]
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    assert [row["photo"] for row in json.loads(captured.out)["captions"]] == [photo]
    assert "text.jpg: not a picture" in captured.err


def test_what_is_no_model(tmp_path, photo, capsys):
    fails(capsys, ["caption", tmp_path, photo], "not a run folder")
    fails(capsys, ["caption", tmp_path / "x.tflite", photo], "x.tflite: no such file")
    fails(capsys, ["export", tmp_path, "--out", tmp_path / "y.tflite"], "not a run folder")
    assert not (tmp_path / "y.tflite").exists()


def test_data_set_errors(tmp_path, flickr8k, capsys):
    cache = ["--cache", tmp_path / "cache"]
    fails(capsys, ["prepare", "flickr9k", *cache], "unknown data set 'flickr9k'")
    fails(capsys, ["prepare", "flickr8k", *cache], "--data-dir")
    with open(flickr8k / "Flickr8k.token.txt", "a") as file:
        file.write("broken line\n")
    fails(
        capsys,
        ["prepare", "flickr8k", "--data-dir", flickr8k, *cache],
        "Flickr8k.token.txt, line 31: not of the form",
    )
    assert not list((tmp_path / "cache" / "records").glob("flickr8k/1*"))


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(trained, capsys):
    again = ["train", "flickr8k", "--out", trained["run"], *trained["places"]]
    fails(capsys, again, "a run is there; --resume it")
    fails(capsys, [*again, "--resume", "--units", "9"], "another units")


def test_an_output_that_is_a_folder_is_refused_and_kept(trained, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", trained["run"], "flickr8k", "--out", trained["run"]])
    assert stop.value.code == 2
    assert "is a folder: name a file" in capsys.readouterr().err
    assert load_run(trained["run"])
    export = ["export", trained["run"], "--out", trained["run"]]
    fails(capsys, export, f"{trained['run']} is a folder: name a file")
    assert load_run(trained["run"])


def test_every_scheme_can_be_named():
    from sat_export.compression import PATTERNS
    from sat_export.distillation import LOSSES
    from sat_export.quantization import DECODER_SCHEMES, SCHEMES

    verbs = next(each for each in cli._parser()._actions if each.dest == "==SUPPRESS==").choices
    choices = {each.dest: each.choices for each in verbs["export"]._actions}
    assert choices["quantize"] == tuple(SCHEMES)
    assert choices["quantize_decoder"] == DECODER_SCHEMES
    assert choices["qat_loss"] == LOSSES and choices["pattern"] == PATTERNS


def test_a_preset_trains_in_phases_and_resumes(trained, monkeypatch, tmp_path, capsys):
    from sat_keras import presets

    phases = {"first": {"epochs": 1}, "second": {"epochs": 2, "dropout": 0.1}}
    monkeypatch.setitem(presets.PRESETS, "soft-mobilenet-v2", phases)
    run = ["train", "flickr8k", f"--out={tmp_path / 'run'}", *trained["places"], "--json"]
    assert cli.main([*run, "--preset=soft-mobilenet-v2", *TINY]) == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 2
    assert (tmp_path / "run" / "first" / "captioner.keras").exists()
    assert cli.main([*run, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 2
    fails(capsys, [*run, "--resume", "--dropout=0.3"], "was begun with another dropout")
    fails(capsys, [*run, "--preset=soft-mobilenet-v2"], "a run is there; --resume it")


WITHOUT_LITERT = """
import sys
sys.modules["ai_edge_litert"] = None
from sat_keras import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def test_missing_package_is_named_with_its_install_command(tflite_file, photo):
    # In a process of its own: here another test may have loaded the package already.
    arguments = [sys.executable, "-c", WITHOUT_LITERT, "caption"]
    arguments += [str(tflite_file), str(photo)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'sat-keras[edge]'" in done.stderr.splitlines()[-1]


def start_training(folder, *options):
    arguments = [sys.executable, "-m", "sat_keras.cli", "train", "flickr8k", "--out"]
    arguments += [str(folder / "run"), "--data-dir", str(folder / "flickr8k")]
    arguments += ["--cache", str(folder / "cache"), *TINY, *options]
    return subprocess.Popen(
        arguments,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where these tests run in a shell's background, Ctrl-C is ignored, and by children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_ctrl_c_in_training_leaves_a_run_that_resumes(flickr8k, tmp_path):
    training = start_training(tmp_path, "--epochs", "100000")
    checkpoint = tmp_path / "run" / "checkpoint.keras"
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    os.killpg(training.pid, signal.SIGINT)
    out, error = training.communicate(timeout=60)
    assert training.returncode == 1, error
    last = error.strip().splitlines()[-1]
    assert last == "sat-keras: stopped; --resume goes on after the last complete epoch"
    assert "Traceback" not in error
    assert out == ""
    from sat_keras.run import read_log

    history = read_log(tmp_path / "run")
    assert [each["epoch"] for each in history] == list(range(1, len(history) + 1))
    assert not [each for each in (tmp_path / "run").iterdir() if each.name.startswith(".")]


def test_full_disk_in_training(flickr8k, tmp_path, capsys):
    """The checkpoint does not fit: one line, and no half-written file."""
    arguments = ["train", "flickr8k", "--out", str(tmp_path / "run"), "--epochs", "1"]
    arguments += ["--data-dir", str(flickr8k), "--cache", str(tmp_path / "cache"), *TINY]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        fails(capsys, arguments, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    left = {each.name for each in (tmp_path / "run").iterdir()}
    assert left <= {"config.json", "vocabulary.txt", "log.csv", "tensorboard"}
