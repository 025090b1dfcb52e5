"""What a process loads: `import sat_keras` and `import sat_edge` stay light."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "package",
    [
        "sat_keras",
        "sat_edge",
        "sat_keras.vocabulary",
        "sat_keras.objectives",
        "sat_keras.runs.settings",
        "sat_keras.recipes",
        "sat_keras.cli",
        "sat_keras.cli.main",
    ],
)
def test_no_tensorflow(package):
    heavy = ("tensorflow", "keras", "matplotlib", "pycocoevalcap")
    code = f"import {package}, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_edge_loads_nothing_of_the_training_world():
    code = "import sat_edge, sys; print([m for m in sys.modules if m.startswith('sat_keras')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there():
    import sat_keras

    assert sat_keras.Vocabulary is not None
    assert all(hasattr(sat_keras, name) for name in sat_keras.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sat_keras.nothing


def test_saved_captioner_loads_where_only_the_captioner_is_imported(captioner, tmp_path):
    captioner.save(tmp_path / "captioner.keras")
    code = (
        "import sys, keras\n"
        "from sat_keras import Captioner\n"
        "print(isinstance(keras.saving.load_model(sys.argv[1]), Captioner))"
    )
    command = [sys.executable, "-c", code, tmp_path / "captioner.keras"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_missing_package_names_the_install_command():
    code = (
        "import sys; sys.modules['keras'] = None\n"
        "import sat_keras\n"
        "try:\n    sat_keras.Captioner\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "keras is missing: pip install 'sat-keras[train]'"
