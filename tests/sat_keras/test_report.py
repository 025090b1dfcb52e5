"""The curves of a report, of a run whose logs are written by hand."""

import json
import re

from sat_keras.report import _curves
from sat_keras.runs.folder import write_log
from sat_keras.runs.settings import RunSettings


def write_run(folder, phases):
    """A run's logs: a dict, a phase's name to its epochs; the last phase's is the run's own."""
    *_, last = phases
    (folder / "recipe.json").write_text(
        json.dumps({name: {"dataset": "shapes"} for name in phases})
    )
    RunSettings("shapes").save(folder)
    for name, epochs in phases.items():
        log = [{"epoch": i, **values} for i, values in enumerate(epochs, start=1)]
        write_log(folder if name == last else folder / name, log)
    return folder


def test_every_phase_has_its_curves(tmp_path):
    likelihood = {"cross_entropy": 2.0, "val_cross_entropy": 2.5, "val_cider": 0.1}
    reward = {"reward": 0.5, "val_cross_entropy": 2.4, "val_cider": 0.3}  # no likelihood
    phases = {"first": [likelihood, likelihood], "second": [likelihood], "last": [reward, reward]}
    picture = _curves(write_run(tmp_path, phases))
    assert picture.startswith("<svg") and picture.rstrip().endswith("</svg>")
    texts = re.findall(r"<!-- (.*?) -->", picture)  # Matplotlib's, of what it draws as paths
    labels = ["first training", "first validation", "second training", "second validation"]
    labels += ["last validation", "first", "second", "last"]
    assert [each for each in texts if each in {*labels, "last training"}] == labels
    assert {"1", "3", "5"} <= set(texts)  # epochs are counted on from phase to phase
    assert "6" not in texts
