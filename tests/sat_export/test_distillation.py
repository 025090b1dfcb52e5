"""A function in a process of its own, with TFMOT."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sat_edge import InputError
from sat_export.distillation import distil

TASK = """
import json, os, sys

def tell(captioner, images, loss, **options):
    found = {
        "process": os.getpid(),
        "tfmot": "tensorflow_model_optimization" in sys.modules,
        "words": captioner.vocabulary.words,
        "images": images.tolist(),
        "loss": loss,
        "options": options,
    }
    return json.dumps(found).encode()

def fail(captioner, images, loss):
    raise ValueError("the lesson was too hard")
"""


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """A module that only the test knows."""
    (tmp_path / "lesson.py").write_text(TASK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    import lesson

    yield lesson
    del sys.modules["lesson"]


def test_it_names_no_caller():
    code = (
        "import sys, sat_export.distillation\n"
        "print(sorted(m for m in sys.modules if m.startswith('sat_export.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['sat_export.distillation']"


def test_any_module_s_function_is_run(captioner, lesson):
    images = np.arange(2 * 32 * 64 * 3, dtype="uint8").reshape(2, 32, 64, 3)
    found = json.loads(distil(captioner, images, lesson.tell, "words", epochs=3))
    assert found["process"] != os.getpid() and found["tfmot"]
    assert found["words"] == captioner.vocabulary.words
    np.testing.assert_array_equal(found["images"], images)
    assert (found["loss"], found["options"]) == ("words", {"epochs": 3})


@pytest.mark.slow
def test_a_failure_is_one_line(captioner, lesson, capfd):
    images = np.zeros((1, 32, 64, 3), "uint8")
    with pytest.raises(InputError) as error:
        distil(captioner, images, lesson.fail, "words")
    assert str(error.value) == "mobilenet: training it failed; the error is shown above"
    assert "ValueError: the lesson was too hard" in capfd.readouterr().err


def test_an_unknown_loss(captioner):
    with pytest.raises(InputError, match="unknown loss 'letters': choose one of"):
        distil(captioner, None, None, "letters")
