"""Writes what the web app's tests compare with: models, photos, and what Python makes of them.

    python fixtures.py FOLDER

Captions are of the packaged `flickr8k-soft` by `sat_edge`, pixels by Pillow. Photos are drawings of
shapes; with SAT_KERAS_SHARED set, one real photo too.
"""

import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from sat_edge import Captioner, open_photo, to_pixels
from sat_edge.beam_search import beam_search
from sat_keras.datasets.shapes.scenes import draw_scene

LENGTH_PENALTY = 0.5
WIDTHS = (1, 2, 3, 5)
# (width, height) of a photo, (width, height) that it is stretched to.
SIZES = [
    ((640, 480), (224, 224)),
    ((333, 1001), (224, 224)),
    ((100, 75), (224, 224)),
    ((224, 224), (224, 224)),
    ((1, 1), (32, 48)),
    ((3000, 17), (224, 96)),
]


def write_fixtures(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_models(folder / "models")
    write_photos(folder / "photos")
    write_captions(folder)
    write_resized(folder / "resized")
    write_searches(folder)


def write_models(folder):
    from sat_export import export_tflite
    from sat_keras import Captioner

    folder.mkdir(exist_ok=True)
    captioner = Captioner.from_preset("flickr8k-soft")
    export_tflite(captioner, folder / "dynamic.tflite", quantize="dynamic")
    export_tflite(captioner, folder / "float32.tflite", quantize="none")

    model = (folder / "dynamic.tflite").read_bytes()
    with zipfile.ZipFile(folder / "dynamic.tflite") as inside:
        start = min(each.header_offset for each in inside.infolist())
        words = inside.read("vocabulary.txt").decode().splitlines()
        settings = inside.read("captioner.json")
    (folder / "text.tflite").write_text("no model at all\n" * 9)
    (folder / "no-vocabulary.tflite").write_bytes(model[:start])
    for name, length, inside_words in (
        ("damaged.tflite", start // 2, words),
        ("other-words.tflite", start, words[:-5]),
    ):
        (folder / name).write_bytes(model[:length])
        with zipfile.ZipFile(folder / name, "a") as inside:
            inside.writestr("vocabulary.txt", "\n".join(inside_words))
            inside.writestr("captioner.json", settings)


def write_photos(folder):
    folder.mkdir(exist_ok=True)
    for seed in (2, 7):
        drawing(seed).resize((448, 336)).save(folder / f"shapes-{seed}.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned clockwise
    photo = drawing(3).resize((320, 200)).transpose(Image.Transpose.ROTATE_90)
    photo.save(folder / "turned.jpg", exif=turned, quality=95)
    clear = drawing(4).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(folder / "transparent.png")
    real = Path(os.environ.get("SAT_KERAS_SHARED", "nowhere"), "data", "photos_original_size")
    if real.is_dir():
        photo = min(real.glob("*.jpg"))
        (folder / "real.jpg").write_bytes(photo.read_bytes())
    (folder.parent / "text.jpg").write_text("this is no photo")


def drawing(seed):
    return Image.fromarray(draw_scene(seed)[0])


def write_captions(folder):
    """captions.json: of each model, photo and beam width, what `sat_edge` says."""
    captions = []
    for model in ("dynamic.tflite", "float32.tflite"):
        captioner = Captioner(folder / "models" / model)
        for photo in sorted((folder / "photos").iterdir()):
            for width in WIDTHS:
                found = captioner.caption(photo, width, LENGTH_PENALTY)
                captions.append(
                    {
                        "model": model,
                        "photo": photo.name,
                        "width": width,
                        "text": found.text,
                        "words": found.words,
                        "log_prob": found.log_prob,
                        "attention": found.attention.reshape(len(found.tokens), -1).tolist(),
                    }
                )
    (folder / "captions.json").write_text(json.dumps(captions))


def write_resized(folder):
    """Pillow's own results on noise and on the photos, as raw bytes."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    listed = []
    for n, ((width, height), (out_width, out_height)) in enumerate(SIZES):
        photo = rng.integers(0, 256, (height, width, 3), dtype="uint8")
        photo.tofile(folder / f"{n}.photo.bin")
        to_pixels(Image.fromarray(photo), (out_height, out_width)).tofile(folder / f"{n}.bin")
        listed.append({"size": [height, width], "outSize": [out_height, out_width]})
    (folder / "resized.json").write_text(json.dumps(listed))
    for photo in sorted((folder.parent / "photos").iterdir()):
        to_pixels(open_photo(photo), (224, 224)).tofile(folder / f"{photo.name}.bin")


def write_searches(folder):
    """searches.json: beam search over chains of random logits."""
    chains = []
    for seed in range(6):
        table = np.random.default_rng(seed).normal(0, 1.5, (8, 12, 12)).astype("float32")
        table[:, :, 2] += seed - 2  # from captions that never end to captions that end at once
        found = []
        for width in WIDTHS:
            for length_penalty in (0.0, 0.5, 1.0):
                best = beam_search(
                    lambda token, t, table=table: (table[t, token], t + 1, np.full(1, t)),
                    0,
                    len(table),
                    width,
                    length_penalty,
                )[0]
                found.append(
                    {
                        "width": width,
                        "lengthPenalty": length_penalty,
                        "tokens": best.tokens,
                        "logProb": best.log_prob,
                        "score": best.score(length_penalty),
                    }
                )
        chains.append({"table": table.tolist(), "found": found})
    (folder / "searches.json").write_text(json.dumps(chains))


if __name__ == "__main__":
    write_fixtures(sys.argv[1])
