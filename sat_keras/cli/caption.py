"""Captions photos."""

from pathlib import Path

from sat_edge.caption import UNFAMILIAR_IN_WORDS
from sat_edge.errors import InputError
from sat_keras.cli.options import add_search, folder_path, named
from sat_keras.cli.output import DONE, fail, hushed, say
from sat_keras.files import check_distinct_names
from sat_keras.runs.paths import check_model


def add_options(parser):
    parser.add_argument("model", metavar="RUN|PRESET|FILE.tflite")
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    parser.add_argument(
        "--attention",
        type=folder_path,
        metavar="DIR",
        help="write an attention picture per photo there",
    )
    add_search(parser)


def check(options):
    check_model(options.model)
    if options.attention:
        check_distinct_names(options.photos)
    if not any(Path(photo).exists() for photo in options.photos):
        raise InputError("\n".join(f"{photo}: no such file" for photo in options.photos))


def needs_tensorflow(options):
    return Path(options.model).suffix != ".tflite"


def run(options):
    from sat_keras.runs.sources import captions_by

    caption, *_ = captions_by(options.model, **named(options, "search"))
    caption = hushed()(caption)
    rows, status = [], DONE
    for photo in options.photos:
        try:
            found = caption([photo])[0]
        except InputError as error:
            status = fail(error)  # the other photos still get their captions
            continue
        row = {"photo": photo, "caption": found.text, "log_prob": round(found.log_prob, 4)}
        row |= found.trust
        if found.is_unfamiliar:
            say(f"{photo}: {UNFAMILIAR_IN_WORDS}")
        if options.attention:
            from sat_keras.visualize import save_attention

            picture = Path(options.attention) / f"{Path(photo).name}.png"
            save_attention(photo, found, picture)
            row["attention"] = str(picture)
        rows.append(row)
    return {"captions": rows}, status
