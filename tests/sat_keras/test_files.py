import pytest

from sat_keras.files import atomic_output


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
