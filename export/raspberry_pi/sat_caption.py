"""Captions photos with one `captioner.tflite`: named ones, a folder's as they arrive, a camera's.

    python sat_caption.py captioner.tflite photo.jpg another.png
    python sat_caption.py captioner.tflite --watch FOLDER [--out CAPTIONS]
    python sat_caption.py captioner.tflite --camera --every 10 [--out FOLDER]

Prints a line a photo: name, caption, natural logarithm of its probability, and in words if the
photo is unlike those that the captioner learnt from; with `--json` one JSON object a line.
Everything else goes to standard error. Ends with 0 when done or told to stop, 1 when something
failed, 2 on wrong usage.
"""

import argparse
import contextlib
import errno
import io
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

try:
    import ai_edge_litert  # noqa: F401
    from PIL import Image

    from sat_edge import Captioner, InputError, Search
    from sat_edge.caption import UNFAMILIAR_IN_WORDS
except ImportError as missing:
    sys.exit(f'{missing.name} is missing: run install.sh, or pip install "sat-keras[edge]"')

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


# === A photo and its caption ===


def caption_file(captioner, path, max_megapixels=24, **search):
    """What is written of one photo.

    Args:
        captioner: `sat_edge.Captioner`.
        path: the photo.
        max_megapixels: number. A larger photo is refused before it fills the memory. Defaults to
            `24`.
        search: fields of `sat_edge.Search` that replace the file's.
    Returns:
        Dict: see `as_record`.
    Raises:
        InputError: if the photo cannot be captioned.
    """
    path = Path(path)
    try:
        with Image.open(path) as header:
            width, height = header.size
        if width * height > max_megapixels * 1e6:
            raise InputError(
                f"{path}: {width * height / 1e6:.0f} megapixels; make it smaller, or allow more "
                f"by --max-megapixels"
            )
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        # What is wrong with it, sat_edge says below.
    try:
        return caption_image(captioner, str(path), path, **search)
    except MemoryError as error:
        raise InputError(f"{path}: too little memory for it; make it smaller") from error
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be captioned ({error})") from error


def caption_image(captioner, name, photo, **search):
    """The same of whatever `sat_edge.Captioner.caption` takes, under a name."""
    began = time.perf_counter()
    caption = captioner.caption(photo, **search)
    return as_record(name, caption, time.perf_counter() - began)


def as_record(name, caption, seconds):
    """A dict for JSON: `photo`, its name; `text`; `words`; `log_prob`; `attention`, of each word
    the weights over the grid, rows of columns; `seconds` that captioning took; `time`, UTC. Of a
    file that is calibrated, `confidence` and `familiarity`, 0..1, too; and `warning`, where the
    photo is unlike those that the captioner learnt from."""
    trust = caption.trust
    if caption.is_unfamiliar:
        trust["warning"] = UNFAMILIAR_IN_WORDS
    return {
        "photo": name,
        "text": caption.text,
        "words": list(caption.words),
        "log_prob": round(caption.log_prob, 4),
        **trust,
        "attention": [
            [[round(weight, 5) for weight in row] for row in grid]
            for grid in caption.attention[: len(caption.words)].tolist()
        ],
        "seconds": round(seconds, 3),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_whole(path, data):
    """Writes bytes that are complete or absent, whatever happens.

    The temporary file is hidden and has a fixed name: what a power cut left of it is overwritten.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a full disk shows itself here at the latest
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def to_json(record):
    return json.dumps(record, separators=(",", ":")).encode()


class Printer:
    """Prints records on standard output, messages on standard error, one line each."""

    def __init__(self, as_json=False):
        self.as_json = as_json

    def caption(self, record):
        if self.as_json:
            line = to_json(record).decode()
        else:
            line = f"{printable(record['photo'])}\t{record['text']}\t{record['log_prob']:.3f}"
            line += f"\t{record['warning']}" if "warning" in record else ""
        try:
            print(line, flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:  # a log on a full disk; the caption itself is written elsewhere
            self.message(f"standard output: {error.strerror}")

    def message(self, text):
        with contextlib.suppress(OSError):
            print(printable(text), file=sys.stderr, flush=True)


def printable(name):
    """A file name may hold line breaks and bytes that are no text."""
    return name if name.isprintable() else ascii(name)[1:-1]


# === A folder's photos as they arrive ===


@dataclass
class Sighting:
    """A photo that is not done: since when it has not changed, and when to try it again."""

    fingerprint: tuple[int, int]  # bytes, time of change in nanoseconds
    since: float
    next_try: float
    wait: float = 0.5


class Watcher:
    """Captions photos that arrive in a folder, each once, and writes `PHOTO.json` of each.

    Looks at the folder anew every time, so it works on network and USB drives, which send no
    events. A photo is opened once its size and time have stayed the same for `settle` seconds, is
    tried again while it does not open, and given up `patience` seconds after its last change; the
    error is then written in place of a caption. The files themselves say what is done: a watcher
    that was stopped goes on where it was.

    Args:
        folder: path. It may be absent; the watcher waits for it.
        caption: callable, a photo's path to a record; raises `InputError` for a bad photo.
        out: path of the folder for the records. Defaults to `None`: next to the photos.
        printer: `Printer`.
        settle, patience, retry: seconds; `retry` is between tries to write to a full disk. Default
            to `1`, `30`, `10`.
        clock: callable, seconds that only grow. (The time of day of a Pi jumps: it has no clock.)
        write: callable, path and bytes.
    """

    def __init__(
        self,
        folder,
        caption,
        out=None,
        printer=None,
        settle=1.0,
        patience=30.0,
        retry=10.0,
        clock=time.monotonic,
        write=write_whole,
    ):
        self.folder = Path(folder)
        self.out = Path(out) if out else self.folder
        self._caption = caption
        self._printer = printer or Printer()
        self._settle, self._patience, self._retry = settle, patience, retry
        self._clock, self._write = clock, write
        self._done = {}  # name to fingerprint
        self._pending = {}  # name to Sighting
        self._troubles = {}  # "read" or "write" to what was said of it
        self._resume_at = clock()

    def run(self, stop, poll=0.5):
        """Watches until `stop`, a `threading.Event`, is set."""
        while not stop.is_set():
            began = time.monotonic()
            self.scan(stop)
            # Looking at a folder of very many photos takes a while: a tenth of the time at most.
            stop.wait(max(poll, 9 * (time.monotonic() - began)))

    def scan(self, stop=None):
        """Looks once: captions what is ready, and returns how many photos were done with."""
        if self._clock() < self._resume_at:
            return 0
        try:
            found = self._list()
        except OSError as error:
            self._report("read", self.folder, f"{error.strerror}; waiting for it")
            self._done, self._pending = {}, {}
            return 0
        self._report("read", self.folder, None)
        self._done = {name: each for name, each in self._done.items() if name in found}
        self._pending = {name: each for name, each in self._pending.items() if name in found}
        handled = 0
        oldest_first = sorted(found.items(), key=lambda each: (each[1][1], each[0]))
        for name, fingerprint in oldest_first:
            if stop is not None and stop.is_set():
                break
            if not self._is_ready(name, fingerprint):
                continue
            try:
                handled += self._handle(name, fingerprint)
            except OSError as error:
                trouble = f"{error.strerror}; trying again every {self._retry:g} s"
                self._report("write", self.out, trouble)
                self._resume_at = self._clock() + self._retry
                return handled
        if handled or not self._pending:
            self._report("write", self.out, None)
        return handled

    def _list(self):
        """Name to fingerprint of every photo in the folder."""
        found = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or Path(entry.name).suffix.lower() not in SUFFIXES:
                    continue
                with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look at
                    if entry.is_file():
                        status = entry.stat()
                        found[entry.name] = (status.st_size, status.st_mtime_ns)
        return found

    def _is_ready(self, name, fingerprint):
        if self._done.get(name) == fingerprint:
            return False
        now, sighting = self._clock(), self._pending.get(name)
        if sighting is None and self._recorded(name) == fingerprint:
            self._done[name] = fingerprint
            return False
        if sighting is None or sighting.fingerprint != fingerprint:
            self._pending[name] = Sighting(fingerprint, now, now + self._settle)
            return False
        return now >= sighting.next_try

    def _handle(self, name, fingerprint):
        """Captions a photo and writes its record; whether the photo is done with.

        Raises:
            OSError: if nothing can be written now.
        """
        path = self.folder / name
        try:
            record = self._caption(path)
        except InputError as error:
            if self._try_again(path):
                return False
            record = {"photo": name, "error": str(error)}
        try:
            self._save(name, {**record, "fingerprint": fingerprint})
        except InputError as error:
            record = {"photo": name, "error": str(error)}
        del self._pending[name]
        self._done[name] = fingerprint
        if "error" in record:
            self._printer.message(record["error"])
        else:
            self._printer.caption(record)
        return True

    def _try_again(self, path):
        """Whether a photo that did not open may yet: it is still arriving, or was taken away."""
        try:
            path.stat()
        except OSError:
            return True
        now, sighting = self._clock(), self._pending[path.name]
        sighting.wait *= 2
        sighting.next_try = now + sighting.wait
        return now < sighting.since + self._patience

    def _save(self, name, record):
        """Writes a record.

        Raises:
            InputError: if this one can never be written.
            OSError: if nothing can be written now.
        """
        path = self._record_path(name)
        try:
            if path.exists() and path.stat().st_size and self._recorded(name) is None:
                raise InputError(f"{path}: another program's file, kept; name a folder by --out")
            self._write(path, to_json(record))
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
                raise
            raise InputError(f"{path}: {error.strerror}; rename the photo") from error

    def _recorded(self, name):
        """The fingerprint of the photo that a record was written of; `None` without a record."""
        try:
            return tuple(json.loads(self._record_path(name).read_bytes())["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _record_path(self, name):
        return self.out / f"{name}.json"

    def _report(self, what, path, trouble):
        """Says a trouble once, and once that it is over (`trouble` None)."""
        said = self._troubles.pop(what, None)
        if trouble:
            self._troubles[what] = trouble
        if trouble != said:
            self._printer.message(f"{path}: {trouble or 'there again, going on'}")


# === A camera's frames ===


class PiCamera:
    """The Raspberry Pi's camera, by picamera2.

    Raises:
        InputError: if there is no picamera2, or no camera.
    """

    def __init__(self, size=(1280, 960)):
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise InputError(
                f"no camera software ({error}): sudo apt install python3-picamera2, then install.sh"
            ) from error
        try:
            self._camera = Picamera2()
            self._camera.configure(self._camera.create_still_configuration(main={"size": size}))
            self._camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            raise InputError(
                f"no camera ({error}): look at its cable, and at rpicam-hello --list-cameras"
            ) from error

    def capture(self):
        """A frame, `PIL.Image.Image`."""
        return self._camera.capture_image("main").convert("RGB")

    def close(self):
        self._camera.close()


def run_camera(open_camera, caption, printer, stop, every=10.0, out=None, retry=10.0):
    """Captions a frame every so many seconds until `stop` is set.

    A camera that fails is closed, and opened again after a while.

    Args:
        open_camera: callable, to an object with `capture()` and `close()` as `PiCamera`'s. The
            `InputError` of its first call is passed on.
        caption: callable, a name and a frame to a record.
        printer: `Printer`.
        stop: `threading.Event`.
        every, retry: seconds, from frame to frame, and until a camera is opened again. Both default
            to `10`.
        out: path of a folder for frames and records. Defaults to `None`: nothing is kept.
    """
    camera, said = open_camera(), None
    while not stop.is_set():
        due, trouble = time.monotonic() + every, None
        try:
            camera = camera or open_camera()
            frame = camera.capture()
        except Exception as error:  # picamera2 has no errors of its own
            trouble = f"camera: {error}; opening it again every {retry:g} s"
            if camera:
                with contextlib.suppress(Exception):
                    camera.close()
            camera, due = None, time.monotonic() + retry
        else:
            name = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f.jpg")
            record = caption(name, frame)
            printer.caption(record)
            try:
                if out:
                    _keep_frame(Path(out) / name, frame, record)
            except OSError as error:
                trouble = f"{out}: {error.strerror}; frames are not kept"
        if trouble and trouble != said:
            printer.message(trouble)
        said = trouble
        stop.wait(max(0.0, due - time.monotonic()))
    if camera:
        camera.close()


def _keep_frame(path, frame, record):
    file = io.BytesIO()
    frame.save(file, "jpeg", quality=90)
    write_whole(path, file.getvalue())
    write_whole(path.with_name(f"{path.name}.json"), to_json(record))


# === The command ===


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL", help="captioner.tflite")
    parser.add_argument("photos", nargs="*", metavar="PHOTO")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--watch", metavar="FOLDER", help="caption photos as they arrive there")
    source.add_argument("--camera", action="store_true", help="caption the camera's frames")
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="a frame (10)")
    parser.add_argument(
        "--out", metavar="DIR", help="folder for PHOTO.json (with --watch: next to the photos)"
    )
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--max-megapixels", type=float, default=24, metavar="N", help="(24)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    search = parser.add_argument_group("search", "The model file has its own; these replace it.")
    search.add_argument("--beam-width", type=int, metavar="N", help="1 is greedy, and fastest")
    search.add_argument(
        "--length-penalty",
        type=float,
        metavar="X",
        help="captions are ranked by log-probability / length^X",
    )
    search.add_argument(
        "--no-repeat-ngram", type=int, metavar="N", help="no N words in a row twice; 0 is off"
    )
    return parser


def main(arguments=None, open_camera=PiCamera):
    parser = build_parser()
    options = parser.parse_intermixed_args(arguments)
    if bool(options.photos) + bool(options.watch) + options.camera != 1:
        parser.error("name photos, or --watch FOLDER, or --camera")
    if options.out and options.photos:
        parser.error("--out is for --watch and --camera")
    if options.threads < 1 or options.every < 0:
        parser.error("--threads is 1 or more, --every is 0 or more")
    try:
        Search(**_named_search(options))  # else each photo would fail for it
    except InputError as error:
        parser.error(str(error))
    stop, printer = threading.Event(), Printer(options.json)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, frame: _stop(stop, number))
    try:
        return _run(options, open_camera, printer, stop)
    except InputError as error:
        printer.message(str(error))
    except BrokenPipeError:  # whoever read the lines has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        printer.message(f"{error.filename}: {error.strerror}")
    return 1


def _named_search(options):
    """The fields of the search that the command line names."""
    names = ("beam_width", "length_penalty", "no_repeat_ngram")
    fields = {name: getattr(options, name) for name in names}
    return {name: value for name, value in fields.items() if value is not None}


def _run(options, open_camera, printer, stop):
    captioner = Captioner(options.model, options.threads)
    search = _named_search(options)
    limits = {"max_megapixels": options.max_megapixels}
    if options.out:
        Path(options.out).mkdir(parents=True, exist_ok=True)
    if options.watch:

        def caption(path):
            return {**caption_file(captioner, path, **limits, **search), "photo": path.name}

        Watcher(options.watch, caption, options.out, printer).run(stop)
        return 0
    if options.camera:

        def caption(name, frame):
            return caption_image(captioner, name, frame, **search)

        run_camera(open_camera, caption, printer, stop, options.every, options.out)
        return 0
    failed = False
    for photo in options.photos:
        if stop.is_set():
            return 1
        try:
            printer.caption(caption_file(captioner, photo, **limits, **search))
        except InputError as error:
            printer.message(str(error))
            failed = True
    return int(failed)


def _stop(stop, number):
    """The photo at hand is finished; a second signal ends at once."""
    stop.set()
    signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
