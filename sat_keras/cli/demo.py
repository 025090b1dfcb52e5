"""Trains on drawn shapes, evaluates, exports, and captions a picture with the one file."""

import time
from pathlib import Path

from sat_keras.cli.options import folder_path
from sat_keras.cli.output import DONE, say, verbosity

PICTURE = 13  # of the test split


def add_options(parser):
    parser.add_argument(
        "--out",
        type=folder_path,
        default="demo",
        metavar="DIR",
        help="folder for all it makes (default: demo)",
    )


def run(options):
    from sat_edge import Captioner as EdgeCaptioner
    from sat_export import export_tflite
    from sat_keras import datasets
    from sat_keras.evaluation import evaluate
    from sat_keras.files import atomic_output
    from sat_keras.recipes import RECIPES
    from sat_keras.runs.folder import load_run
    from sat_keras.runs.training import train_phases
    from sat_keras.visualize import save_attention

    began = time.monotonic()
    out = Path(options.out)
    settings = {"dataset": "shapes", **RECIPES["demo"]()[""]}
    say("1/5 drawing 9,000 pictures")
    builder = datasets.build_records("shapes", out / "records")
    say(f"2/5 training for {settings['training']['epochs']} epochs")
    train_phases(out, {"": settings}, builder, out / "annotations", verbosity())
    captioner = load_run(out)
    say("3/5 captioning the test split")
    scores, _ = evaluate(captioner.caption, builder, "test")
    say("4/5 exporting")
    export_tflite(captioner, out / "captioner.tflite", trained_on="shapes")
    say("5/5 captioning a picture with the exported file")
    _, encoded, record = next(datasets.read_photos(builder, "test", first=PICTURE))
    picture = out / "picture.png"
    with atomic_output(picture) as temporary:
        temporary.write_bytes(encoded)
    caption = EdgeCaptioner(out / "captioner.tflite").caption(picture)
    save_attention(picture, caption, out / "attention.png")
    return {
        **scores,
        "caption": caption.text,
        "reference": record["captions"][0],
        "attention": str(out / "attention.png"),
        "file": str(out / "captioner.tflite"),
        "minutes": (time.monotonic() - began) / 60,
    }, DONE
