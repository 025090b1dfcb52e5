import json

import pytest

from sat_edge import InputError
from sat_keras.files import atomic_output, check_distinct_names, write_json


def test_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "table.json"
    with atomic_output(path) as temporary:
        temporary.write_text("first")
        assert temporary.suffix == ".json" and not path.exists()
    with pytest.raises(RuntimeError), atomic_output(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first"
    assert [each.name for each in path.parent.iterdir()] == ["table.json"]


def test_a_folder_is_replaced_by_a_folder_alone(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "captioner.keras").write_text("weights")
    with pytest.raises(IsADirectoryError, match="run"), atomic_output(path) as temporary:
        temporary.write_text("scores")
    assert [each.name for each in tmp_path.iterdir()] == ["run"]
    assert (path / "captioner.keras").read_text() == "weights"
    with atomic_output(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [each.name for each in path.iterdir()] == ["new"]


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "scores.json"
    write_json(path, {"BLEU-4": 0.25})
    assert json.loads(path.read_text()) == {"BLEU-4": 0.25}
    assert path.read_text().endswith("}\n")
    with pytest.raises(TypeError):
        write_json(path, {"BLEU-4": object()})
    assert json.loads(path.read_text()) == {"BLEU-4": 0.25}
    assert [each.name for each in path.parent.iterdir()] == ["scores.json"]


def test_outputs_by_name_do_not_overwrite_one_another():
    check_distinct_names(["a/0.jpg", "a/1.jpg", "b/2.jpg"])
    with pytest.raises(InputError, match="^two photos are named 1.jpg: caption them apart$"):
        check_distinct_names(["a/0.jpg", "a/1.jpg", "b/1.jpg"])
