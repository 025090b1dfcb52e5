"""The SavedModel needs TensorFlow alone: nothing of this project, no Keras model code."""

import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from sat_export.saved_model import export_saved_model

TF_SERVING = Path(__file__).parents[2] / "export" / "tf_serving"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_request_in_an_environment_of_its_own(captioner, photos, tmp_path):
    model = export_saved_model(captioner, tmp_path / "captioner", beam_width=3)
    paths = []
    height, width = captioner.encoder.image_size
    sized = [photo.resize((width, height)) for photo in photos]
    for i, photo in enumerate(sized):
        paths.append(tmp_path / f"{i}.png")
        photo.save(paths[-1])
    paths[4].write_bytes(paths[4].read_bytes()[:100])

    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    versions = [f"tensorflow=={version('tensorflow')}", "tensorflow-serving-api"]
    subprocess.run(
        [python, "-m", "pip", "install", "-q", *versions], check=True, capture_output=True
    )
    python = [python, "-E"]  # whatever PYTHONPATH says
    missing = subprocess.run([*python, "-c", "import sat_keras"], capture_output=True, cwd=tmp_path)
    assert missing.returncode == 1
    script = [*python, TF_SERVING / "without_server.py", model, *paths]
    done = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, check=True)
    rows = [line.split("\t")[1] for line in done.stdout.splitlines()]
    wanted = [each.text for each in captioner.caption(sized, beam_width=3)]
    wanted[4] = "(no photo that can be read)"
    assert rows == wanted
