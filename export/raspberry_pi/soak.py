"""Memory of the watching process over photos that arrive: does it stay flat?

    python soak.py captioner.tflite PHOTOS --count 2000 --every 200

Starts `sat_caption.py MODEL --watch FOLDER` on an empty folder, lets photos of PHOTOS arrive in it
one by one (over and over, under new names), and prints the process's memory along the way. With
`--take-away` photos are taken out of it once they have captions.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WATCHER = Path(__file__).with_name("sat_caption.py")


def soak(model, photos, count, every, take_away=False, options=()):
    """Yields (photos captioned, resident memory in MB) after every so many.

    Args:
        model: path of the `.tflite` file.
        photos: paths of photos to copy.
        count, every: ints.
        take_away: bool. Whether photos leave the folder once captioned. Defaults to `False`.
        options: more arguments for `sat_caption.py`.
    Raises:
        RuntimeError: if the watcher ends early, does not end when asked, or left a photo out.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        watcher = subprocess.Popen(
            [sys.executable, WATCHER, model, "--watch", folder, *options],
            stdout=subprocess.DEVNULL,
        )
        try:
            for i, photo in enumerate(itertools.islice(itertools.cycle(photos), count), 1):
                arrives = folder / f"{i:06}{Path(photo).suffix}"
                shutil.copy(photo, arrives.with_suffix(".part"))
                arrives.with_suffix(".part").rename(arrives)
                if i % every and i != count:
                    continue
                while len(list(folder.glob("*.json"))) < i:
                    if watcher.poll() is not None:
                        raise RuntimeError(f"the watcher ended with {watcher.returncode}")
                    time.sleep(0.5)
                yield i, resident_mb(watcher.pid)
                if take_away:
                    for path in folder.glob("*.jpg"):
                        path.unlink()
            for path in folder.glob("*.json"):
                if not json.loads(path.read_bytes()).get("text"):
                    raise RuntimeError(f"{path.name} has no caption")
        finally:
            watcher.send_signal(signal.SIGTERM)
            status = watcher.wait(60)
        if status:
            raise RuntimeError(f"asked to end, the watcher ended with {status}")


def resident_mb(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("photos", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--take-away", action="store_true")
    options = parser.parse_args()
    photos = sorted(options.photos.glob("*.jpg"))
    if not photos:
        sys.exit(f"{options.photos}: no .jpg in it")
    print("| photos | resident memory, MB |\n| --- | --- |")
    arguments = (options.model, photos, options.count, options.every, options.take_away)
    for captioned, megabytes in soak(*arguments):
        print(f"| {captioned} | {megabytes:.1f} |", flush=True)


if __name__ == "__main__":
    main()
