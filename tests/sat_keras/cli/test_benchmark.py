import json

import pytest

from sat_keras import cli


@pytest.mark.slow
def test_benchmark(trained, photo, capsys, fails):
    capsys.readouterr()
    arguments = ["benchmark", trained["tflite"], photo, "--run", trained["run"], "--json"]
    assert cli.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["threads"]) == {"1", "2"} and found["keras_ms"] > 0
    fails(["benchmark", trained["tflite"], "nowhere.jpg"], "nowhere.jpg: no such file")
