import json
import warnings
import zipfile
from pathlib import Path

import numpy as np

from sat_edge.beam_search import beam_search
from sat_edge.caption import Caption
from sat_edge.errors import InputError, check_choice
from sat_edge.photo import open_photo, to_pixels
from sat_edge.runtime import ACCELERATORS, open_runtime


class Captioner:
    """Captions photos with one `captioner.tflite`.

    Args:
        path: the file, with `vocabulary.txt` and `captioner.json` inside, as `sat_export` writes
            it.
        threads: int, of the CPU. Defaults to `1`.
        accelerator: str. `"cpu"`, or `"gpu"`: for a file of the target `gpu`; where there is no
            GPU that takes it, a warning says why and the CPU captions. Defaults to `"cpu"`.
    Attributes:
        vocabulary: list of str, id to word.
        settings: dict, the file's `captioner.json`.
        accelerator: str, what captions in fact.
    Raises:
        InputError: if the file is not such a one.
    Example:
        >>> captioner = Captioner("captioner.tflite")
        >>> captioner.caption("photo.jpg").text
        'two dogs run through the snow'
    """

    def __init__(self, path, threads=1, accelerator="cpu"):
        check_choice("accelerator", accelerator, ACCELERATORS)
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        try:
            with zipfile.ZipFile(path) as inside:
                self.vocabulary = inside.read("vocabulary.txt").decode().splitlines()
                self.settings = json.loads(inside.read("captioner.json"))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise InputError(
                f"{path}: no captioner (no vocabulary inside); make one with `sat-keras export`"
            ) from error
        target = self.settings.get("target", "cpu")
        self._runtime, why_not = open_runtime(path, threads, accelerator, target)
        if why_not:
            warnings.warn(f"{why_not}. Captioning on the CPU.", stacklevel=2)
        self.accelerator = "cpu" if why_not else accelerator
        words = self._runtime.output_shape("step", "logits")[-1]
        if words != len(self.vocabulary):
            raise InputError(
                f"{path}: {len(self.vocabulary)} words in its vocabulary, "
                f"{words} in its model; export it again"
            )
        self.image_size = tuple(self.settings["image_size"])
        self.grid = tuple(self.settings["grid"])
        self.regions = np.array(self.settings["regions"])  # (L, 4)

    def caption(self, photo, beam_width=1, length_penalty=0.0, no_repeat_ngram=0):
        """The best caption of one photo, greedily or by beam search.

        Args:
            photo: path, open binary file, `PIL.Image.Image`, or uint8 array
                `(height, width, 3)`; any size.
            beam_width, length_penalty, no_repeat_ngram: see `sat_edge.beam_search`. Default to `1`
                (greedy), `0.0`, `0`.
        Returns:
            `Caption`.
        Raises:
            InputError: if the photo cannot be read.
        """
        if beam_width != 1 or no_repeat_ngram or "caption" not in self._runtime.signatures:
            return self.beam_search(photo, beam_width, length_penalty, no_repeat_ngram)[0]
        outputs = self._runtime.run("caption", image=self._image(photo))
        tokens, attention = outputs["tokens"][0], outputs["attention"][0]  # (T,), (T, L)
        return self._caption(tokens, attention, outputs["log_prob"][0], outputs["log_prob"][0])

    def beam_search(self, photo, beam_width=3, length_penalty=0.0, no_repeat_ngram=0, n_best=1):
        """The n best captions of one photo, the best first: a list of `Caption`.

        Runs on the host, over the signatures `encode` and `step`.

        Args:
            photo: see `caption`.
            beam_width, length_penalty, no_repeat_ngram, n_best: see `sat_edge.beam_search`. Default
                to `3`, `0.0`, `0`, `1`.
        """

        def step(token, state):
            outputs = self.step(token, **state)
            state = {**state, "h": outputs["h"], "c": outputs["c"]}
            return outputs["logits"][0], state, outputs["attention"][0]

        found = beam_search(
            step,
            self.encode(photo),
            self.settings["max_length"],
            beam_width,
            length_penalty,
            no_repeat_ngram,
            n_best,
        )
        return [
            self._caption(
                beam.tokens, np.stack(beam.attention), beam.log_prob, beam.score(length_penalty)
            )
            for beam in found
        ]

    def _caption(self, tokens, attention, log_prob, score):
        return Caption.from_decoder(
            self.vocabulary, tokens, attention, log_prob, score, self.grid, self.regions
        )

    def encode(self, photo):
        """What decoding a photo begins with: the first `h`, `c`, and what every step remembers,
        `annotations` `(1, L, D)` and their `projected` form."""
        return self._runtime.run("encode", image=self._image(photo))

    def step(self, token, **state):
        """`logits` `(1, V)` of the word after `token`, the new `h`, `c`, `attention` `(1, L)`.

        Args:
            token: int.
            state: all that `encode` gave, `h` and `c` as the last step gave them.
        """
        return self._runtime.run("step", token=np.asarray([token], "int32"), **state)

    def _image(self, photo):
        pixels = to_pixels(open_photo(photo), self.image_size)
        return pixels[None].astype("float32")  # (1, H, W, 3)
