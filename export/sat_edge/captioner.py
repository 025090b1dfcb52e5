import warnings
import zipfile
from pathlib import Path

import numpy as np

from sat_edge.beam_search import beam_search
from sat_edge.caption import START, UNKNOWN, Caption
from sat_edge.errors import InputError, check_choice
from sat_edge.photo import open_photo, to_pixels
from sat_edge.runtime import ACCELERATORS, check_version, open_runtime
from sat_edge.settings import Settings


class Captioner:
    """Captions photos with one `captioner.tflite`.

    Args:
        path: the file, with `vocabulary.txt` and `captioner.json` inside, as `sat_export` writes
            it; see `docs/file-format.md`.
        threads: int, of the CPU. Defaults to `1`.
        accelerator: str. `"cpu"`, or `"gpu"` for a file of the target `gpu`. Where no GPU takes
            the file, a warning says why, and the CPU captions. Defaults to `"cpu"`.
    Attributes:
        vocabulary: list of str, id to word.
        settings: `sat_edge.settings.Settings`, what the file says of itself.
        search: `Search`, the file's default.
        accelerator: str, what captions in fact.
    Raises:
        InputError: if the file is not a captioner, or needs a newer LiteRT.
    Example:
        >>> captioner = Captioner("captioner.tflite")
        >>> captioner.caption("photo.jpg").text
        'two dogs run through the snow'
    """

    def __init__(self, path, threads=1, accelerator="cpu"):
        check_choice("accelerator", accelerator, ACCELERATORS)
        path = Path(path)
        self.vocabulary, self.settings = read_inside(path)
        check_version(path, self.settings.least_litert)
        self._runtime, why_not = open_runtime(path, threads, accelerator, self.settings.target)
        if why_not:
            warnings.warn(f"{why_not}. Captioning on the CPU.", stacklevel=2)
        self.accelerator = "cpu" if why_not else accelerator
        state = self.settings.state
        self._check_outputs(path, "encode", (*state.returned, *state.kept))
        self._check_outputs(path, "step", ("logits", "attention", *state.returned))
        self._is_calibrated = "confidence" in self._runtime.signatures
        if self._is_calibrated:
            self._check_outputs(path, "encode", ("familiarity", "outlook", "expected_words"))
        words = self._runtime.output_shape("step", "logits")[-1]
        if words != len(self.vocabulary):
            raise InputError(
                f"{path}: {len(self.vocabulary)} words in its vocabulary, "
                f"{words} in its model; export it again"
            )
        self.search = self.settings.search
        self.image_size = self.settings.image_size
        self.grid = self.settings.grid
        self.regions = np.array(self.settings.regions)  # (L, 4)

    def _check_outputs(self, path, signature, names):
        missing = set(names) - set(self._runtime.output_names(signature))
        if missing:
            raise InputError(
                f"{path}: its `{signature}` does not return {min(missing)}; export it again"
            )

    def caption(self, photo, **search):
        """The best caption of one photo.

        Args:
            photo: path, open binary file, `PIL.Image.Image`, or uint8 array
                `(height, width, 3)`; any size.
            search: fields of `Search` that replace the file's default; `beam_width=1` is greedy.
        Returns:
            `Caption`.
        Raises:
            InputError: if the photo cannot be read, or for a search that cannot be.
        """
        how = self.search.for_one(**search)
        if not how.is_greedy or "caption" not in self._runtime.signatures:
            return self._search(photo, how)[0]
        outputs = self._runtime.run("caption", image=self._image(photo))
        tokens, attention = outputs["tokens"][0], outputs["attention"][0]  # (T,), (T, L)
        log_prob, trusted = outputs["log_prob"][0], ()
        if self._is_calibrated:
            trusted = outputs["confidence"][0], outputs["familiarity"][0]
        return self._caption(tokens, attention, log_prob, log_prob, *trusted)

    def beam_search(self, photo, **search):
        """The n best captions of one photo, the best first: a list of `Caption`.

        Runs on the host, over the signatures `encode` and `step`.

        Args:
            photo, search: see `caption`.
        """
        return self._search(photo, self.search.override(**search))

    def attend(self, photo, captions):
        """Where it looks while it says captions that are given: teacher forcing.

        Runs on the host, over the signatures `encode` and `step`.

        Args:
            photo: see `caption`. It is encoded once.
            captions: list of captions, each a list of words as the vocabulary has them ("man",
                "'s"). Words that it does not know become `<unk>`.
        Returns:
            List of float32 arrays `(T, rows, columns)`, one for each caption: the weights over the
            grid at each word and, last, at `<end>`, sum 1 each; as `Caption.attention`. A caption
            is cut at the longest that the file says, and then `<end>` is not said.
        Raises:
            InputError: if the photo cannot be read, or a caption is no list of words.
        """
        if any(isinstance(words, str) for words in captions):
            raise InputError("captions to attend to are lists of words: split them")
        ids = {word: token for token, word in enumerate(self.vocabulary)}
        start, found = self.first_state(photo), []
        for words in captions:
            tokens = [START, *(ids.get(word, UNKNOWN) for word in words)]
            state, attention = start, []
            for token in tokens[: self.settings.max_length]:
                _, state, weights = self.decode_step(token, state)
                attention.append(weights)  # (L,)
            found.append(np.stack(attention).reshape(-1, *self.grid))
        return found

    def encode(self, photo):
        """The outputs of `encode`, by name: what decoding a photo begins with."""
        return self._runtime.run("encode", image=self._image(photo))

    def step(self, token, **state):
        """The outputs of `step`: `logits` `(1, V)` of the word after `token`, `attention` `(1, L)`,
        and the tensors of `settings.state.returned`.

        Args:
            token: int.
            state: the tensors of `settings.state`, by name.
        """
        return self._runtime.run("step", token=np.asarray([token], "int32"), **state)

    def decode_step(self, token, state):
        """One step of a search: `(logits (V,), state, attention (L,))`.

        Args:
            token: int.
            state: what `first_state` or the step before returned.
        """
        outputs = self.step(token, **state)
        returned = {name: outputs[name] for name in self.settings.state.returned}
        return outputs["logits"][0], {**state, **returned}, outputs["attention"][0]

    def first_state(self, photo):
        """The state that a search over `decode_step` begins with."""
        return self._state(self.encode(photo))

    def _state(self, encoded):
        state = self.settings.state
        return {name: encoded[name] for name in (*state.returned, *state.kept)}

    def _search(self, photo, search):
        encoded = self.encode(photo)
        state = self._state(encoded)
        found = beam_search(self.decode_step, state, self.settings.max_length, search)
        return [
            self._caption(
                beam.tokens,
                np.stack(beam.attention),
                beam.log_prob,
                beam.score(search.length_penalty),
                *self._trust(beam, encoded),
            )
            for beam in found
        ]

    def _trust(self, beam, encoded):
        """Confidence in a caption and familiarity of its photo; see `docs/file-format.md`."""
        if not self._is_calibrated:
            return ()
        expected = encoded["expected_words"][0]  # (W,)
        said = [token for token in set(beam.tokens) if token < len(expected)]
        inputs = {
            "log_prob": beam.log_prob,
            "length": len(beam.tokens),
            "agreement": expected[said].sum(),
        }
        inputs = {name: np.array([value], "float32") for name, value in inputs.items()}
        outputs = self._runtime.run("confidence", outlook=encoded["outlook"], **inputs)
        return outputs["confidence"][0], encoded["familiarity"][0]

    def _caption(self, tokens, attention, log_prob, score, *trust):
        return Caption.from_decoder(
            self.vocabulary, tokens, attention, log_prob, score, self.grid, self.regions, *trust
        )

    def _image(self, photo):
        pixels = to_pixels(open_photo(photo), self.image_size)
        return pixels[None].astype("float32")  # (1, H, W, 3)


def read_inside(path):
    """The vocabulary and the `Settings` of a captioner file.

    Raises:
        InputError: if there is no such file, or it is not a captioner.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as inside:
            # No other line break ends a word.
            vocabulary = inside.read("vocabulary.txt").decode().removesuffix("\n").split("\n")
            settings = Settings.from_json(inside.read("captioner.json"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: no captioner (no vocabulary inside); make one with `sat-keras export`"
        ) from error
    if len(vocabulary) != settings.vocabulary_size:
        raise InputError(
            f"{path}: {len(vocabulary)} words in its vocabulary, {settings.vocabulary_size} in its "
            "settings; export it again"
        )
    return vocabulary, settings
