import json

import pytest

from sat_keras import cli


@pytest.mark.slow
def test_train_uses_the_cache_that_prepare_made(flickr8k, tiny, tmp_path, capsys):
    places = ["--data-dir", str(flickr8k), "--cache", str(tmp_path / "cache")]
    assert cli.main(["prepare", "flickr8k", "--json", *places, *tiny[:4]]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["train"].startswith("4 photos, ")
    annotations = tmp_path / "cache" / "annotations"
    assert len(list(annotations.iterdir())) == 3
    times = {each: each.stat().st_mtime_ns for each in annotations.rglob("*")}
    # Random weights would be others in each process; pixels are the same whatever they are.
    assert cli.main(["prepare", "flickr8k", "--pixels", *places, *tiny[:4]]) == 0
    pixels = set(annotations.rglob("*")) - set(times)
    train = ["train", "flickr8k", f"--out={tmp_path / 'run'}", "--epochs=1", "--fine-tune=all"]
    assert cli.main([*train, *places, *tiny]) == 0
    assert set(annotations.rglob("*")) == {*times, *pixels}
    assert all(each.stat().st_mtime_ns == time for each, time in times.items())


def test_data_set_errors(tmp_path, flickr8k, fails):
    cache = ["--cache", tmp_path / "cache"]
    fails(["prepare", "flickr9k", *cache], "unknown data set 'flickr9k'")
    fails(["prepare", "flickr8k", *cache], "--data-dir")
    with open(flickr8k / "Flickr8k.token.txt", "a") as file:
        file.write("broken line\n")
    fails(
        ["prepare", "flickr8k", "--data-dir", flickr8k, *cache],
        "Flickr8k.token.txt, line 31: not of the form",
    )
    assert not list((tmp_path / "cache" / "records").glob("flickr8k/1*"))
