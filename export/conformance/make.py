"""Inputs and expected outputs that every runtime is checked against.

    python export/conformance/make.py FOLDER --photos PHOTOS [--run RUN] [--inject RUN] [--count 50]

Writes, N photos, (H, W) the captioners' image size, T a file's longest caption, L its locations, V
its words, S the steps that its search took over all photos:

    conformance.json           count, image_size, files: NAME to exact, gpu, max_length, locations
                               and vocabulary_size
    images.bin                 uint8 (N, H, W, 3), already stretched
    NAME/captioner.tflite      with its three signatures; `captioner.json` inside has the search
    NAME/gpu.tflite            `encode` and `step` alone, where `gpu` is true
    NAME/tokens.bin            int32 (N, T), found by the file's search: by Keras where `exact` is
                               true, else by Python's LiteRT of the same file
    NAME/attention.bin         float32 (N, T, L), likewise
    NAME/steps.bin             int32 (S, 3), every step of the search on the host, in order: photo,
                               parent (the number of the step whose state it started from, counted
                               within the photo; -1 for the first), token that went in
    NAME/step_logits.bin       float32 (S, V), what `step` gave, by Python's LiteRT
    NAME/step_attention.bin    float32 (S, L)

A runtime writes `results/RUNTIME/NAME/{tokens,attention}.bin` in the same layouts; `check.py`
compares them all.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from run import MODELS, as_arrays

from sat_edge import Captioner as EdgeCaptioner
from sat_edge import InputError, Search, open_photo, to_pixels
from sat_edge.beam_search import beam_search
from sat_edge.caption import END
from sat_export import export_tflite
from sat_keras import Captioner
from sat_keras.files import atomic_output
from sat_keras.runs.sources import load_captioner

PRESET = "flickr8k-soft"
_INJECT_LENGTH = 8  # of captions whose `<end>` hardly ever comes


@dataclass(frozen=True)
class File:
    """One captioner file of the folder.

    Attributes:
        greedy: bool. Whether its search is greedy, not that of the captioner with attention.
            Defaults to `False`.
        quantize: str, see `export_tflite`. Defaults to `"none"`: float32, whose captions have to be
            those of Keras.
        has_attention: bool. `False`: the CNN-LSTM. Defaults to `True`.
        gpu: bool. Whether there is one for GPUs too. Defaults to `True`.
    """

    greedy: bool = False
    quantize: str = "none"
    has_attention: bool = True
    gpu: bool = True


FILES = {
    "soft": File(),
    # Greedily: runtimes round int8 sums differently, by 0.01 of a logit. Beams are closer than that
    # in one photo of 25. WebGPU compiles no int8 weights (LiteRT.js 2.5.3).
    "soft-int8": File(greedy=True, quantize="int8", gpu=False),
    # Where the file has a `caption`, it runs; a GPU's has none.
    "soft-greedy": File(greedy=True),
    "inject": File(has_attention=False),
}


def untrained_inject(soft, images):
    """A CNN-LSTM on another captioner's encoder, whose captions differ from photo to photo.

    Its weights are drawn, the same each time. What the decoder is fed of a photo is centred and
    scaled over `images`: mean annotations are much alike, and words would be too. Weights of the
    recurrence are small enough, and logits far enough apart, that rounding turns no word. `<end>`
    is unlikely, or many captions would be empty.

    Args:
        soft: `sat_keras.Captioner`.
        images: uint8 array `(N, H, W, 3)`.
    """
    captioner = Captioner(
        soft.encoder,
        soft.vocabulary,
        attention="none",
        units=soft.units,
        embedding_size=soft.embedding_size,
        max_length=_INJECT_LENGTH,
    )
    decoder, rng = captioner.decoder, np.random.default_rng(0)
    for weight in decoder.trainable_weights:
        rows = weight.shape[0] if len(weight.shape) > 1 else 1
        weight.assign(rng.normal(0, rows**-0.5, weight.shape))
    embeddings, word = decoder.embedding.embeddings, decoder.project_word
    embeddings.assign(rng.normal(0, 1, embeddings.shape))
    word.kernel.assign(10 * word.kernel)
    word.bias.assign(-10.0 * (np.arange(len(soft.vocabulary)) == END))
    project = decoder.project_image
    x = captioner.annotations(images).mean(axis=1) @ project.kernel.numpy()  # (N, E)
    scale = x.std(axis=0).clip(1e-6)
    project.kernel.assign(project.kernel / scale)
    project.bias.assign(-x.mean(axis=0) / scale)
    return captioner


def record_steps(edge, images):
    """Every step that the file's search takes on the host.

    Args:
        edge: `sat_edge.Captioner`.
        images: uint8 array `(N, H, W, 3)`.
    Returns:
        Dict of arrays by their files' names; see this file's head.
    """
    steps, all_logits, all_attention = [], [], []

    def search(photo, image):
        first = len(steps)

        def step(token, state):
            parent, tensors = state
            logits, tensors, attention = edge.decode_step(token, tensors)
            steps.append((photo, parent, token))
            all_logits.append(logits)
            all_attention.append(attention)
            return logits, (len(steps) - 1 - first, tensors), attention

        beam_search(step, (-1, edge.first_state(image)), edge.settings.max_length, edge.search)

    for photo, image in enumerate(images):
        search(photo, image)
    return {
        "steps": np.array(steps, "<i4"),
        "step_logits": np.array(all_logits, "<f4"),
        "step_attention": np.array(all_attention, "<f4"),
    }


def make_file(part, file, captioner, search, images, photos):
    """Writes one captioner file's sub-folder.

    Args:
        part: path, made here.
        file: `File`.
        captioner: `sat_keras.Captioner`.
        search: `Search`, of the file.
        images: uint8 array `(N, H, W, 3)`.
        photos: path of a folder, which int8's ranges are observed on.
    Returns:
        Dict, what `conformance.json` says of it.
    """
    part.mkdir(parents=True, exist_ok=True)
    options = {"quantize": file.quantize, "photos": photos, "search": search}
    targets = ("cpu", "gpu") if file.gpu else ("cpu",)
    for target in targets:
        export_tflite(captioner, part / MODELS[target], target=target, **options)
    edge = EdgeCaptioner(part / MODELS["cpu"])
    is_exact = file.quantize == "none"
    if is_exact:
        fields = search.as_dict()
        del fields["n_best"]
        captions = captioner.caption(images, **fields)
    else:
        captions = [edge.caption(image) for image in images]
    arrays = as_arrays(captions, captioner.max_length) | record_steps(edge, images)
    for name, array in arrays.items():
        array.tofile(part / f"{name}.bin")
    return {
        "exact": is_exact,
        "gpu": file.gpu,
        "max_length": captioner.max_length,
        "locations": arrays["attention"].shape[2],
        "vocabulary_size": len(captioner.vocabulary),
    }


def make(folder, soft, inject, photos):
    """Writes the folder.

    Args:
        folder: path, made here.
        soft: `sat_keras.Captioner` with attention.
        inject: `sat_keras.Captioner` without; `None` for one with random weights on the encoder of
            `soft`.
        photos: list of paths, 16 or more; int8's ranges are observed on their folder's.
    Raises:
        InputError: if the captioners do not fit together, or a photo cannot be read.
    """
    folder, size = Path(folder), soft.encoder.image_size
    if soft.attention == "none":
        raise InputError("--run: that captioner has no attention; name it by --inject")
    if inject is not None and inject.attention != "none":
        raise InputError("--inject: that captioner has attention; name it by --run")
    if inject is not None and inject.encoder.image_size != size:
        raise InputError(
            f"--inject: its photos are of {inject.encoder.image_size}, those of --run of {size}: "
            "name two of the same size"
        )
    images = np.stack([to_pixels(open_photo(each), size) for each in photos])  # (N, H, W, 3)
    inject, own = inject or untrained_inject(soft, images), soft.search
    facts = {"count": len(images), "image_size": size, "files": {}}
    for name, file in FILES.items():
        captioner = soft if file.has_attention else inject
        part, source = folder / name, Path(photos[0]).parent
        search = Search() if file.greedy else own
        facts["files"][name] = make_file(part, file, captioner, search, images, source)
        print(f"{name}: {len(images)} photos", flush=True)
    images.tofile(folder / "images.bin")
    with atomic_output(folder / "conformance.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", required=True, type=Path, help="a folder of 16 photos or more")
    parser.add_argument(
        "--run", default=PRESET, help=f"with attention, or a preset (default: {PRESET})"
    )
    parser.add_argument(
        "--inject", metavar="RUN", help="a CNN-LSTM, or a preset (default: one of random weights)"
    )
    parser.add_argument("--count", type=int, default=50, help="photos (default: 50)")
    options = parser.parse_args()
    try:
        photos = sorted(each for each in options.photos.glob("*") if each.is_file())
        if not photos:
            raise InputError(f"{options.photos}: no folder of photos")
        inject = load_captioner(options.inject) if options.inject else None
        make(options.folder, load_captioner(options.run), inject, photos[: options.count])
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
