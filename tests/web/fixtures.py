"""Writes what the web app's tests compare with: models, photos, and what Python makes of them.

    python fixtures.py FOLDER

Captions with a file's own search are by Keras, those of other beam widths by `sat_edge`; pixels are
by Pillow. The soft captioner is the packaged `flickr8k-soft`; those without attention have its
encoder and random weights. Photos are drawings of shapes; with SAT_KERAS_SHARED set, one real photo
too.
"""

import itertools
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from sat_edge import Captioner, InputError, Search, open_photo, to_pixels
from sat_edge.beam_search import beam_search
from sat_edge.settings import Settings, State
from sat_keras.datasets.shapes.scenes import draw_scene

WIDTHS = (1, 2, 3, 5)
# The searches of the files without attention, by where the picture goes in. The slider of the page
# has no 7 by itself.
INJECTED = {
    "first": Search(beam_width=3, length_penalty=0.5),
    "every": Search(beam_width=7, length_penalty=0.5, no_repeat_ngram=2),
    "only": Search(),
}
# Of those that are calibrated: the most and the least familiarity.
FAMILIAR = {"every": (0.9, 0.1), "only": (0.01, 0.005)}
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
    captioners = make_captioners()
    write_models(folder / "models", captioners)
    write_bad_models(folder / "models")
    write_photos(folder / "photos")
    write_captions(folder, captioners)
    write_resized(folder / "resized")
    write_searches(folder)
    write_settings(folder)


def make_captioners():
    """Of each float32 file, by its name."""
    from sat_keras import Captioner

    soft = Captioner.from_preset("flickr8k-soft")
    captioners = {"float32.tflite": soft}
    sizes = {"units": 16, "embedding_size": 12, "max_length": 12}
    for inject, search in INJECTED.items():
        captioner = Captioner(
            soft.encoder, soft.vocabulary, attention="none", inject=inject, search=search, **sizes
        )
        rng = np.random.default_rng(0)
        for weight in captioner.decoder.trainable_weights:
            weight.assign(rng.normal(0, 0.7, weight.shape))
        if inject in FAMILIAR:
            captioner.trust = drawn_trust(captioner, FAMILIAR[inject])
        captioners[f"inject-{inject}.tflite"] = captioner
    return captioners


def drawn_trust(captioner, familiarity):
    """A `Trust` of random weights; its familiarities lie between two numbers."""
    from sat_keras.trust import Trust

    trust = Trust(rank=4, words=2000)
    trust.build(captioner.encoder.output_shape)
    rng = np.random.default_rng(1)
    for weight in trust.weights:
        weight.assign(rng.normal(0, 0.05, weight.shape))
    size = trust.distance_knots.shape[0]
    for name, scalar in {"rest_precision": 1.0, "least_spread": 1.0}.items():
        getattr(trust, name).assign(scalar)
    trust.distance_knots.assign(np.linspace(0, 2, size))
    trust.familiarity_knots.assign(np.linspace(*familiarity, size))
    trust.mean_words.assign(rng.uniform(0, 1, trust.words))
    trust.score_knots.assign(np.linspace(-1, 2, size))
    trust.confidence_knots.assign(np.linspace(0.1, 0.9, size))
    return trust


def write_models(folder, captioners):
    from sat_export import export_tflite

    folder.mkdir(exist_ok=True)
    for name, captioner in captioners.items():
        export_tflite(captioner, folder / name)
    export_tflite(captioners["float32.tflite"], folder / "dynamic.tflite", quantize="dynamic")
    model, words, settings = take_apart(folder / "inject-every.tflite")
    put_together(folder / "more-outputs.tflite", with_another_output(model), words, settings)


def take_apart(path):
    """A file's model, the lines of its vocabulary and its `captioner.json`, as a dict."""
    with zipfile.ZipFile(path) as inside:
        start = min(each.header_offset for each in inside.infolist())
        words = inside.read("vocabulary.txt").decode().splitlines()
        settings = json.loads(inside.read("captioner.json"))
    return path.read_bytes()[:start], words, settings


def put_together(path, model, words, settings):
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a") as inside:
        inside.writestr("vocabulary.txt", "\n".join(words) + "\n")
        inside.writestr("captioner.json", json.dumps(settings))


def with_another_output(model):
    """A model whose `encode` returns one tensor more, which is no state: an activation."""
    from ai_edge_litert import schema_py_generated as schema

    from sat_export.flatbuffer import pack, parse

    parsed = parse(model)
    signature = next(each for each in parsed.signatureDefs if each.signatureKey == b"encode")
    graph = parsed.subgraphs[signature.subgraphIndex]
    output = schema.TensorMapT()
    output.name, output.tensorIndex = b"activation", graph.operators[0].outputs[0]
    signature.outputs.append(output)
    graph.outputs = [*graph.outputs, output.tensorIndex]
    return pack(parsed)


def write_bad_models(folder):
    """Files that the page refuses, each for a reason of its own."""
    model, words, settings = take_apart(folder / "dynamic.tflite")
    (folder / "text.tflite").write_text("no model at all\n" * 9)
    (folder / "no-vocabulary.tflite").write_bytes(model)
    put_together(folder / "damaged.tflite", model[: len(model) // 2], words, settings)
    put_together(folder / "fewer-words.tflite", model, words[:-5], settings)
    old = {name: value for name, value in settings.items() if name not in ("format", "search")}
    put_together(folder / "version-0.1.tflite", model, words, old)
    others = {
        "format-2.tflite": {"format": 2},
        "wrong-search.tflite": {"search": {**settings["search"], "beam_width": 0}},
        "other-words.tflite": {"vocabulary_size": len(words) - 5},
        "other-grid.tflite": {"grid": [1, 1], "regions": [[0, 0, 1, 1]]},
        "other-state.tflite": {"state": {"returned": ["h", "c"], "kept": ["image"]}},
    }
    for name, fields in others.items():
        changed = {**settings, **fields}
        put_together(folder / name, model, words[: changed["vocabulary_size"]], changed)


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


def write_captions(folder, captioners):
    """captions.json: of models and photos, the captions of some beam widths by `sat_edge`;
    defaults.json: those of each file's own search, by Keras."""
    photos = sorted((folder / "photos").iterdir())
    captions = []
    for model, width in itertools.product(("dynamic.tflite", "float32.tflite"), WIDTHS):
        captioner = Captioner(folder / "models" / model)
        for photo in photos:
            found = captioner.caption(photo, beam_width=width)
            captions.append(describe(found, model, photo) | {"width": width})
    (folder / "captions.json").write_text(json.dumps(captions))
    defaults = [
        describe(found, model, photo)
        for model, captioner in captioners.items()
        for photo, found in zip(photos, captioner.caption(photos), strict=True)
    ]
    (folder / "defaults.json").write_text(json.dumps(defaults))


def describe(caption, model, photo):
    return {
        "model": model,
        "photo": photo.name,
        "text": caption.text,
        "words": caption.words,
        "log_prob": caption.log_prob,
        "confidence": caption.confidence,
        "familiarity": caption.familiarity,
        "attention": caption.attention.reshape(len(caption.tokens), -1).tolist(),
    }


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
    searches = [
        Search(beam_width=width, length_penalty=penalty, no_repeat_ngram=n)
        for width, penalty, n in itertools.product(WIDTHS, (0.0, 0.5, 1.0), (0, 1, 2, 3))
    ]
    chains = []
    for seed in range(6):
        table = np.random.default_rng(seed).normal(0, 1.5, (8, 12, 12)).astype("float32")
        table[:, :, 2] += seed - 2  # from captions that never end to captions that end at once
        if seed % 2:
            table[1:] = table[0]  # the same at every word: it goes round in circles
        found = []
        for search in searches:
            best = beam_search(
                lambda token, t, table=table: (table[t, token], t + 1, np.full(1, t)),
                0,
                len(table),
                search,
            )[0]
            found.append(
                {
                    "search": search.as_dict(),
                    "tokens": best.tokens,
                    "logProb": best.log_prob,
                    "score": best.score(search.length_penalty),
                }
            )
        chains.append({"table": table.tolist(), "found": found})
    (folder / "searches.json").write_text(json.dumps(chains))


class Missing:
    """In place of a field's value: the field is not there."""


# Values of fields that `sat_edge` accepts or refuses, and the page should likewise. "INFINITY" is
# written as a number too large for a float.
VALUES = {
    "format": [1, 2, 0, "1", None],
    "resize": [Missing, "nearest", None],
    "least_litert": [Missing, "1.4", "2.1", 2.1, "", "2.1.", "two", None],
    "image_size": [
        *(Missing, None, "32x64", [32], [32, 64, 3], [0, 64], [32, 4097], [32.5, 64], [True, 64]),
        *([1, 4096], [224, 224]),
    ],
    "grid": [Missing, [0, 8], [4097, 1], [2, 4, 1], "2x4", None],
    "regions": [
        *(Missing, None, [], [[0, 0, 1, 1]] * 7, [[0, 0, 1, 1]] * 9, [[0, 0, 1]] * 8),
        *([["0", 0, 1, 1]] * 8, [[None, 0, 1, 1]] * 8, [["INFINITY", 0, 1, 1]] * 8, ["0011"] * 8),
        *([[0, 0, 1, 1]] * 8, [[-0.5, 0, 1.5, 1]] * 8),
    ],
    "max_length": [Missing, None, 0, 1, 1000, 1001, 7.5, "7", True],
    "vocabulary_size": [Missing, 4, 5, 2**31, "16"],
    "state": [
        *(
            Missing,
            None,
            [],
            {},
            {"returned": ["h"]},
            {"kept": ["h"]},
            {"returned": "h", "kept": []},
        ),
        *({"returned": ["h"], "kept": ["h"]}, {"returned": ["h", "h"], "kept": []}),
        *({"returned": [1], "kept": []}, {"returned": [], "kept": [None]}),
        *({"returned": ["a"], "kept": []}, {"returned": ["a", "b"], "kept": ["c"], "more": 1}),
    ],
    "search": [Missing, None, [3, 0.5, 0, 1], "greedy"],
    "unknown": [1],
}
SEARCH_VALUES = {
    "beam_width": [0, -1, 1.5, "3", None, True, 1, 9],
    "length_penalty": [-0.1, "INFINITY", "0.5", None, 0, 2],
    "no_repeat_ngram": [-1, 1.5, "2", None, 0, 4],
    "n_best": [0, 4, 1.5, None, 3],
}


def write_settings(folder):
    """settings.json: texts of `captioner.json` and whether `sat_edge` refuses them."""
    settings = Settings(
        target="cpu",
        image_size=(32, 64),
        grid=(2, 4),
        regions=tuple((y / 2, x / 4, (y + 1) / 2, (x + 1) / 4) for y in (0, 1) for x in range(4)),
        max_length=7,
        vocabulary_size=16,
        state=State(returned=("h", "c"), kept=("annotations", "projected")),
        search=Search(beam_width=3, length_penalty=0.5, no_repeat_ngram=2),
        captioner={},
        encoder={},
        quantization={"encoder": "none", "decoder": "none"},
        least_litert="1.4",
        compression=None,
        trained_on=None,
        sat_keras="0.2",
    )
    good = json.loads(settings.to_json())
    changed = [(field, {field: value}) for field, values in VALUES.items() for value in values]
    for field, values in SEARCH_VALUES.items():
        changed += [("search", {"search": good["search"] | {field: value}}) for value in values]
    cases = [{"field": None, "text": text} for text in ("", "{", "[]", "3", "null")]
    for field, fields in changed:
        content = {k: v for k, v in (good | fields).items() if v is not Missing}
        text = json.dumps(content).replace('"INFINITY"', "1e999")
        cases.append({"field": field, "text": text})
    for case in cases:
        try:
            Settings.from_json(case["text"])
            case["refused"] = False
        except InputError:
            case["refused"] = True
    (folder / "settings.json").write_text(json.dumps({"good": good, "cases": cases}))


if __name__ == "__main__":
    write_fixtures(sys.argv[1])
