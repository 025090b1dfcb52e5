"""The watcher of a folder, look by look, on a clock of its own."""

import errno
import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sat_edge import InputError, open_photo

sys.path.insert(0, str(Path(__file__).parents[2] / "export" / "raspberry_pi"))
sat_caption = importlib.import_module("sat_caption")


def encoded(color, size=(64, 48), file_format="jpeg"):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, file_format)
    return file.getvalue()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def name_the_colour(path):
    """In place of a captioner: opens the photo as one does."""
    red, green, blue = open_photo(path).resize((1, 1)).getpixel((0, 0))
    text = "red" if red > max(green, blue) else "green" if green > blue else "blue"
    return {"photo": path.name, "text": text, "log_prob": -1.0}


class Bench:
    """A watcher, what it said, and its time."""

    def __init__(self, folder, **options):
        self.folder, self.options = folder, options
        self.captions, self.messages, self.opened = [], [], []
        self.now = 0.0
        self.start()

    def start(self):
        self.watcher = sat_caption.Watcher(
            self.folder, self._open, printer=self, clock=lambda: self.now, **self.options
        )

    def _open(self, path):
        self.opened.append(path.name)
        return name_the_colour(path)

    def caption(self, record):
        self.captions.append((record["photo"], record["text"]))

    def message(self, text):
        self.messages.append(text)

    def look(self, seconds):
        """Lets time pass, looking twice a second."""
        for _ in range(int(seconds * 2)):
            self.watcher.scan()
            self.now += 0.5

    def record(self, name):
        return json.loads((self.watcher.out / f"{name}.json").read_bytes())


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "photos"
    path.mkdir()
    return path


@pytest.fixture
def bench(folder):
    return Bench(folder)


def test_a_photo_is_captioned_once_it_has_settled(bench, folder):
    (folder / "a.jpg").write_bytes(encoded("red"))
    bench.look(1)
    assert bench.opened == []
    bench.look(5)
    assert bench.captions == [("a.jpg", "red")]
    assert bench.record("a.jpg")["text"] == "red"
    assert bench.opened == ["a.jpg"]
    assert names(folder) == ["a.jpg", "a.jpg.json"]


def test_what_is_no_photo_is_left_alone(bench, folder):
    for name in ("notes.txt", ".hidden.jpg", "a.jpg.part"):
        (folder / name).write_bytes(encoded("red"))
    (folder / "folder.jpg").mkdir()
    (folder / "nowhere.jpg").symlink_to("nothing")
    bench.look(40)
    assert (bench.opened, bench.messages) == ([], [])


def test_a_photo_that_keeps_growing_waits(bench, folder):
    data = encoded("green", (300, 200), "bmp")
    for share in range(1, 6):
        (folder / "a.bmp").write_bytes(data[: len(data) * share // 5])
        bench.look(0.5)
    assert bench.opened == []
    bench.look(3)
    assert bench.captions == [("a.bmp", "green")]
    assert bench.opened == ["a.bmp"]


def test_a_half_written_photo_is_tried_until_it_is_whole(bench, folder):
    data = encoded("green", (300, 200))
    (folder / "a.jpg").write_bytes(data[: len(data) // 2])
    bench.look(20)
    assert len(bench.opened) > 2
    assert (bench.captions, bench.messages) == ([], [])
    (folder / "a.jpg").write_bytes(data)
    bench.look(3)
    assert bench.captions == [("a.jpg", "green")]
    assert bench.messages == []


def test_a_bad_photo_is_given_up_and_holds_nothing_up(bench, folder):
    (folder / "a.jpg").write_bytes(b"no photo")
    bench.look(3)
    (folder / "b.jpg").write_bytes(encoded("blue"))
    bench.look(100)
    assert bench.captions == [("b.jpg", "blue")]
    assert len(bench.messages) == 1
    assert "a.jpg: not a picture" in bench.messages[0]
    assert "not a picture" in bench.record("a.jpg")["error"]
    tries = bench.opened.count("a.jpg")
    assert tries < 10
    bench.look(100)
    bench.start()
    bench.look(100)
    assert bench.opened.count("a.jpg") == tries
    (folder / "a.jpg").write_bytes(encoded("red"))
    bench.look(3)
    assert bench.record("a.jpg")["text"] == "red"


def test_a_photo_that_is_taken_away_is_not_missed(bench, folder):
    (folder / "a.jpg").write_bytes(b"no photo")
    bench.look(5)
    (folder / "a.jpg").unlink()
    bench.look(100)
    assert bench.messages == []


def test_a_restart_captions_nothing_twice(bench, folder):
    for name, color in (("a.jpg", "red"), ("b.jpg", "green")):
        (folder / name).write_bytes(encoded(color))
    bench.look(3)
    bench.start()
    (folder / "c.jpg").write_bytes(encoded("blue"))
    bench.look(3)
    assert sorted(bench.opened) == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_replaced_photo_is_captioned_anew(bench, folder):
    (folder / "latest.jpg").write_bytes(encoded("red"))
    bench.look(3)
    (folder / "latest.jpg").write_bytes(encoded("blue", (65, 48)))
    bench.look(3)
    assert [text for _, text in bench.captions] == ["red", "blue"]
    assert bench.record("latest.jpg")["text"] == "blue"


def test_a_folder_that_goes_is_waited_for(bench, folder, tmp_path):
    (folder / "a.jpg").write_bytes(encoded("red"))
    bench.look(3)
    folder.rename(tmp_path / "elsewhere")
    bench.look(20)
    assert bench.messages == [f"{folder}: No such file or directory; waiting for it"]
    (tmp_path / "elsewhere").rename(folder)
    (folder / "b.jpg").write_bytes(encoded("green"))
    bench.look(3)
    assert bench.messages[1:] == [f"{folder}: there again, going on"]
    assert bench.captions == [("a.jpg", "red"), ("b.jpg", "green")]


def test_a_folder_that_goes_while_a_photo_is_open(bench, folder, tmp_path):
    (folder / "a.jpg").write_bytes(encoded("red"))
    bench.look(1)
    caption = bench.watcher._caption

    def and_gone(path):
        record = caption(path)
        folder.rename(tmp_path / "elsewhere")
        return record

    bench.watcher._caption = and_gone
    bench.look(1)
    bench.watcher._caption = caption
    assert bench.captions == []
    (tmp_path / "elsewhere").rename(folder)
    bench.look(30)
    assert bench.captions == [("a.jpg", "red")]


def test_a_full_disk_is_waited_for(folder):
    full = True

    def write(path, data):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sat_caption.write_whole(path, data)

    bench = Bench(folder, write=write)
    for name, color in (("a.jpg", "red"), ("b.jpg", "green")):
        (folder / name).write_bytes(encoded(color))
    bench.look(60)
    assert bench.messages == [f"{folder}: No space left on device; trying again every 10 s"]
    assert bench.captions == []
    assert len(bench.opened) <= 7  # one photo a try, not all of them
    full = False
    bench.look(15)
    assert bench.captions == [("a.jpg", "red"), ("b.jpg", "green")]
    assert bench.messages[1:] == [f"{folder}: there again, going on"]


def test_a_disk_that_is_really_full(tmp_path, folder):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        bench = Bench(folder, out=disk)
        with open(disk / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        (folder / "a.jpg").write_bytes(encoded("red"))
        bench.look(30)
        assert names(disk) == ["ballast"]
        assert bench.messages == [f"{disk}: No space left on device; trying again every 10 s"]
        (disk / "ballast").unlink()
        bench.look(15)
        assert bench.captions == [("a.jpg", "red")]
        assert bench.record("a.jpg")["text"] == "red"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_another_programs_file_is_kept(bench, folder):
    (folder / "a.jpg.json").write_text('{"title": "holidays"}')
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(encoded("red"))
    bench.look(60)
    assert (folder / "a.jpg.json").read_text() == '{"title": "holidays"}'
    assert len(bench.messages) == 1
    assert "another program's file" in bench.messages[0]
    assert bench.captions == [("b.jpg", "red")]


def test_a_name_too_long_for_its_record_holds_nothing_up(bench, folder):
    long_name = "a" * 249 + ".jpg"
    for name in (long_name, "b.jpg"):
        (folder / name).write_bytes(encoded("red"))
    bench.look(60)
    assert bench.captions == [("b.jpg", "red")]
    assert len(bench.messages) == 1
    assert "File name too long; rename the photo" in bench.messages[0]


def test_many_megapixels_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (2000, 1000)).save(path)
    with pytest.raises(InputError, match=r"large.png: 2 megapixels; .* --max-megapixels"):
        sat_caption.caption_file(None, path, max_megapixels=1)


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"before")
    with pytest.raises(TypeError):
        sat_caption.write_whole(path, "no bytes")
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["a.json"]


def test_a_line_stays_a_line(capsys):
    printer = sat_caption.Printer()
    printer.caption({"photo": "a\nb\udcff.jpg", "text": "red", "log_prob": -1})
    assert capsys.readouterr().out == "a\\nb\\udcff.jpg\tred\t-1.000\n"
