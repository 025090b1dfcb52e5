import contextlib
from functools import partial
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sat_edge.caption import Caption
from sat_edge.errors import InputError, check_choice
from sat_edge.photo import open_photo, to_pixels
from sat_edge.search import Search
from sat_keras import decoding, replicas
from sat_keras.encoders import Encoder
from sat_keras.layers import (
    INJECTIONS,
    AttentionDecoder,
    AttentionLSTMCell,
    HardSelection,
    InjectDecoder,
    Scorer,
    SoftSelection,
    gumbel,
    repeat_rows,
)
from sat_keras.trainable import Trainable
from sat_keras.trust import Trust, calibrate
from sat_keras.vocabulary import Vocabulary

ATTENTIONS = ("soft", "hard", "none")
LOCATIONS = ("expected", "most_probable", "sampled")
_BATCH = 64  # photos that are captioned together
# What configures a captioner beside its encoder, its vocabulary and its search.
_SETTINGS = (
    "attention",
    "scorer",
    "inject",
    "units",
    "embedding_size",
    "attention_size",
    "dropout",
    "max_length",
)
_PLACES = ("image_size", "grid", "regions")  # attributes of an encoder, beside the model


@keras.saving.register_keras_serializable("sat_keras")
class Captioner(Trainable):
    """ "Show, Attend and Tell": an encoder and a decoder that captions its annotations.

    The arguments decide the captions. What the captioner is trained for is an objective, which
    `compile` takes.

    `fit` takes batches `(x, tokens)`: `x` images `(N, H, W, 3)` or the encoder's annotations
    `(N, L, D)`; `tokens` int `(N, T + 1)`, a caption of each from `<start>` on, padded with
    `<pad>`, or `(N, C, T + 1)`, C captions of each. A third element, `sample_weight` `(N,)`, scales
    the loss of each photo; of the shape of the words to predict, that of each word. Objectives with
    grounding take a dict in place of `tokens`: `tokens`, and `cover` `(N, C, T, L)`, see
    `pipeline.batches`. A mean is over all captions of the batch, whatever their weights.

    The encoder is frozen at first. `captioner.encoder.fine_tune()`, or `encoder.trainable = True`,
    lets it learn from images; `compile` afterwards.

    Args:
        encoder: `encoders.Encoder`, or a `keras.Model` with the attributes `image_size`, `grid` and
            `regions` of one.
        vocabulary: `Vocabulary`.
        attention: str. `"soft"`, `"hard"`, or `"none"`: the CNN-LSTM baselines. Defaults to
            `"soft"`.
        scorer: str, `"additive"` or `"bilinear"`, or a `layers.Scorer`. Defaults to `"additive"`.
        inject: str. Without attention, where the picture goes in: `"first"`, `"every"` or `"only"`,
            see `InjectDecoder`. Defaults to `"every"`.
        units: int. LSTM size H. Defaults to `512`.
        embedding_size: int E. Defaults to `512`.
        attention_size: int A, of the additive scorer. Defaults to `512`.
        dropout: float. Share of units dropped in training. Defaults to `0.5`.
        max_length: int. Longest caption, `<end>` included, that it makes. Defaults to `20`.
        search: `Search`, how it captions unless told otherwise. Defaults to `None`: greedily.
        trust: `trust.Trust`, which gives captions their confidence and familiarity; `calibrate`
            finds one. Defaults to `None`: they are `None`.
        **kwargs: of `keras.Model`: `name`, `dtype`.
    Raises:
        InputError: for a value that cannot be.
    Example:
        >>> model = Captioner(encoders.mobilenet_v2(weights="imagenet"), vocabulary)
        >>> model.compile(optimizer=keras.optimizers.Adam(4e-4, global_clipnorm=5.0))
        >>> model.fit(train, validation_data=validation, epochs=5)
        >>> model.caption(["photo.jpg"])[0].text
    Reference:
        Xu et al., 2015, arXiv 1502.03044.
    """

    def __init__(
        self,
        encoder,
        vocabulary,
        attention="soft",
        scorer="additive",
        inject="every",
        units=512,
        embedding_size=512,
        attention_size=512,
        dropout=0.5,
        max_length=20,
        search=None,
        trust=None,
        **kwargs,
    ):
        # The decoder casts annotations; pixels and noise keep their precision.
        super().__init__(autocast=False, **kwargs)
        check_choice("attention", attention, ATTENTIONS)
        check_choice("inject", inject, INJECTIONS)
        for name in _PLACES:
            if not hasattr(encoder, name):
                raise InputError(f"the encoder has no {name}: set encoder.{name}, see `Encoder`")
        if not 0 <= dropout <= 1:
            raise InputError(f"dropout is {dropout}: it is a share, 0 to 1")

        # === Layers ===
        self.encoder = encoder
        self.encoder.trainable = False
        with _policy(self.dtype_policy):
            if attention == "none":
                self.decoder = InjectDecoder(
                    len(vocabulary), units, embedding_size, inject, dropout
                )
            else:
                cell = AttentionLSTMCell(
                    units,
                    _build_scorer(scorer, attention_size),
                    HardSelection() if attention == "hard" else SoftSelection(),
                )
                self.decoder = AttentionDecoder(len(vocabulary), cell, embedding_size, dropout)
            self.decoder.build(encoder.output_shape)
        self.trust = trust
        if trust is not None:
            trust.build(encoder.output_shape)
        self.built = True
        self.supports_jit = False  # XLA would compile the step anew for every caption length
        self._make_caption_functions()

        # === Config ===
        self.vocabulary = vocabulary
        self.attention = attention
        self.scorer = scorer
        self.inject = inject
        self.units = units
        self.embedding_size = embedding_size
        self.attention_size = attention_size
        self.dropout = dropout
        self.max_length = max_length
        self.search = search or Search()

    def _make_caption_functions(self):
        """Called again when layers may have new variables: a traced function keeps the old ones."""
        # Compiled, an encoder's layers need not all be held at once.
        self._compiled_encode = tf.function(self.encode, reduce_retracing=True)
        self._compiled_greedy = tf.function(self.greedy, reduce_retracing=True)
        # Numbers, not the object: a function is traced anew for each object that it is given.
        self._compiled_beam = tf.function(
            lambda x, *search: self.beam(x, Search(*search)), reduce_retracing=True
        )
        self._compiled_sample = tf.function(self.draw, reduce_retracing=True)
        # Compiled, the logits that nobody asks for are not computed.
        self._compiled_attend = tf.function(
            lambda annotations, tokens: self.decoder(annotations, tokens)[1], reduce_retracing=True
        )

    def encode(self, x, training=False):
        """Images `(B, H, W, 3)` to annotations `(B, L, D)`; annotations stay as they are."""
        if len(x.shape) != 4:
            return x
        learns = training and self.encoder.trainable
        encode = partial(self.encoder, training=learns)
        return replicas.map_rows(encode, ops.cast(x, "float32"))

    def call(self, x, tokens, training=False, noise=()):
        """`logits` `(B, T, V)`, `alphas` `(B, T, L)` and `samples` of the words after `tokens`.

        `x` is of B / C photos: the captions of one come one after the other. `noise` is that of
        `AttentionDecoder`.
        """
        return self.decoder(self.encode(x, training), tokens, training=training, noise=noise)

    # === As Keras calls it ===

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        self._make_caption_functions()

    def quantize(self, *args, **kwargs):
        """As `keras.Model.quantize`."""
        super().quantize(*args, **kwargs)
        self._make_caption_functions()

    def predict_step(self, data):
        """The best caption's tokens int32 `(B, T)`, by the captioner's search."""
        x, *_ = keras.utils.unpack_x_y_sample_weight(data)
        if self.search.is_greedy:
            return self.greedy(x)[0]
        return self.beam(x, self.search)[0][:, 0]

    # === Captioning ===

    def annotations(self, photos):
        """What the encoder says of photos: float32 array `(B, L, D)`. `photos` as `caption`'s."""
        found = np.concatenate([each.numpy() for each in self._batches(photos)])
        return found.astype("float32", copy=False)

    def caption(self, photos, **search):
        """The best caption of each photo.

        Args:
            photos: array `(B, H, W, 3)` of RGB 0..255 in the encoder's size, or of annotations
                `(B, L, D)`; or a list of paths, `PIL.Image.Image` or arrays of any size.
            search: fields of `Search` that replace the captioner's own; `beam_width=1` is greedy.
        Returns:
            List of `Caption`.
        Raises:
            InputError: if a photo cannot be read, or for a search that cannot be.
        """
        how = self.search.for_one(**search)
        if how.is_greedy:
            found = (self._captions(x, *self._compiled_greedy(x)) for x in self._batches(photos))
            return [caption for captions in found for caption in captions]
        return [captions[0] for captions in self._search(photos, how)]

    def calibrate(self, train, validation):
        """As `trust.calibrate`: from here on captions have `confidence` and `familiarity`."""
        calibrate(self, train, validation)

    def beam_search(self, photos, **search):
        """The n best captions of each photo, the best first: a list of lists of `Caption`.

        Args:
            photos, search: see `caption`.
        """
        return self._search(photos, self.search.override(**search))

    def _search(self, photos, search):
        captions = []
        for x in self._batches(photos):
            found = self._compiled_beam(x, *search.as_dict().values())
            best = [each[:, : search.n_best] for each in found]  # each (B, n, ...)
            flat = (tf.reshape(each, [-1, *each.shape[2:]]) for each in best)  # (B n, ...)
            of_all, n = self._captions(x, *flat), search.n_best
            captions += [of_all[i : i + n] for i in range(0, len(of_all), n)]
        return captions

    def sample(self, photos, temperature=1.0, top_k=0, top_p=1.0, locations="expected", seed=0):
        """A caption of each photo, drawn from the model's distribution.

        Args:
            photos: see `caption`.
            temperature, top_k, top_p: see `decoding.sample`. With `top_k=1` it is greedy.
            locations: str. Of hard attention: `"expected"`, the weighted mean; `"most_probable"`,
                its highest alone; or `"sampled"`. Defaults to `"expected"`.
            seed: int. The same seed draws the same captions. Defaults to `0`.
        Returns:
            List of `Caption`.
        """
        check_choice("locations", locations, LOCATIONS)
        if locations != "expected" and self.attention != "hard":
            raise InputError(f"attention {self.attention!r} takes no location; hard attention does")
        if temperature <= 0 or top_k < 0 or not 0 < top_p <= 1:
            raise InputError(
                f"temperature {temperature}, top_k {top_k}, top_p {top_p}: "
                "name one above 0, 0 or more, and one above 0 and at most 1"
            )
        captions = []
        for i, x in enumerate(self._batches(photos)):
            found = self._compiled_sample(
                x, temperature, top_k, top_p, locations, tf.constant([seed, i])
            )
            captions += self._captions(x, *found)
        return captions

    def attend(self, photos, captions):
        """Where it looks while it says captions that are given: teacher forcing.

        Args:
            photos: see `caption`. Each is encoded once.
            captions: for each photo a list of captions, str or lists of words as `tokenize` makes
                them. Words that the vocabulary does not know become `<unk>`.
        Returns:
            For each photo a list of float32 arrays `(T, rows, columns)`, one for each caption: the
            weights over the grid at each word and, last, at `<end>`, sum 1 each; as
            `Caption.attention`. A caption is cut at `max_length`, and then `<end>` is not said.
        Raises:
            InputError: if a photo cannot be read, or not every photo has its list of captions.
        """
        if len(photos) != len(captions) or any(isinstance(each, str) for each in captions):
            raise InputError(f"name a list of captions for each of {len(photos)} photos")
        found = []
        for annotations in self._batches(photos):  # (B, L, D)
            batch = captions[len(found) : len(found) + len(annotations)]
            attention = self._attend(annotations, batch)
            found += [list(islice(attention, len(each))) for each in batch]
        return found

    def _attend(self, annotations, captions):
        """Yields the attention of one caption after the other, from the first photo's to the
        last's."""
        rows = [
            (photo, self.vocabulary.encode(each, self.max_length))
            for photo, of_photo in enumerate(captions)
            for each in of_photo
        ]
        for start in range(0, len(rows), _BATCH):
            places, ids = zip(*rows[start : start + _BATCH], strict=True)
            tokens = keras.utils.pad_sequences([each[:-1] for each in ids], padding="post")
            alphas = self._compiled_attend(tf.gather(annotations, places), tokens)  # (n, T, L)
            for weights, each in zip(alphas.numpy(), ids, strict=True):
                yield weights[: len(each) - 1].reshape(-1, *self.encoder.grid)

    def greedy(self, x):
        """`decoding.greedy` on images `(B, H, W, 3)` or annotations `(B, L, D)`."""
        return decoding.greedy(*self.start(x))

    def beam(self, x, search):
        """`decoding.beam_search` on images `(B, H, W, 3)` or annotations `(B, L, D)`."""
        annotations = self.encode(x)  # (B, L, D)
        step, state, *_ = self.start(annotations, search.beam_width)
        return decoding.beam_search(step, state, *self._sizes(annotations), search)

    def draw(self, x, temperature, top_k, top_p, locations, seed):
        """`decoding.sample` on images `(B, H, W, 3)` or annotations `(B, L, D)`."""
        annotations = self.encode(x)  # (B, L, D)
        step, state, *sizes = self.start(annotations)
        if locations != "expected":
            memory, state = self.decoder.start(annotations)
            step, state = self._locating_step(memory, state, locations, seed, *sizes[:2])
        return decoding.sample(step, state, *sizes, temperature, top_k, top_p, seed=seed)

    def start(self, x, repeats=1):
        """What the functions of `decoding` begin with.

        Args:
            x: images `(B, H, W, 3)` or annotations `(B, L, D)`.
            repeats: int R. Captions of each, one after the other. Defaults to `1`.
        Returns:
            The step function, its first state of B x R rows, B x R, L, and the longest caption's
            length.
        """
        annotations = self.encode(x)  # (B, L, D)
        memory, state = self.decoder.start(annotations)
        if repeats != 1:
            memory, state = repeat_rows((memory, state), repeats)
        batch_size, *sizes = self._sizes(annotations)

        def step(token, state):
            return self.decoder.step(token, state, memory)

        return step, state, batch_size * repeats, *sizes

    def _locating_step(self, memory, state, locations, seed, batch_size, count):
        """A step that takes one location as its context. It counts steps: each draws anew."""

        def step(token, state):
            state, t = state
            noise = tf.zeros([batch_size, count])
            if locations == "sampled":
                place_seed = tf.random.experimental.stateless_fold_in(seed + 1, t[0])
                noise = gumbel(tf.random.stateless_uniform([batch_size, count], place_seed))
            noise = (noise, tf.ones([batch_size, 1]))
            logits, state, alphas = self.decoder.step(token, state, memory, noise)
            return logits, (state, t + 1), alphas

        return step, (state, tf.zeros([batch_size], tf.int32))

    def _sizes(self, annotations):
        """B, L and the longest caption's length."""
        batch_size, locations, _ = annotations.shape
        return batch_size or tf.shape(annotations)[0], locations, self.max_length

    def _batches(self, photos):
        """The annotations of a few photos each: memory does not grow with their number."""
        if isinstance(photos, str | Path):
            raise InputError(f"{photos}: name a list of photos")
        for start in range(0, len(photos), _BATCH):
            batch = photos[start : start + _BATCH]
            if not isinstance(photos, np.ndarray | tf.Tensor):
                size = self.encoder.image_size
                batch = np.stack([to_pixels(open_photo(photo), size) for photo in batch])
            shape = tuple(batch.shape[1:])
            if shape not in ((*self.encoder.image_size, 3), self.encoder.output_shape[1:]):
                raise InputError(
                    f"an array of {tuple(photos.shape)} is neither photos (B, H, W, 3) of "
                    f"{self.encoder.image_size} nor annotations; in a list they may have any size"
                )
            batch = tf.cast(batch, tf.float32)
            # Encoded here: functions that take both would be traced for tensors of unknown rank.
            yield self._compiled_encode(batch) if len(batch.shape) == 4 else batch

    def _captions(self, annotations, tokens, attention, log_prob, score=None):
        """`Caption` of each row, n rows of each photo one after the other."""
        score = log_prob if score is None else score
        trusted = self._trust_of(annotations, tokens, log_prob)
        outputs = (np.asarray(each) for each in (tokens, attention, log_prob, score))
        places = self.encoder.grid, self.encoder.regions
        return [
            Caption.from_decoder(self.vocabulary, *each, *places, *trust)
            for *each, trust in zip(*outputs, trusted, strict=True)
        ]

    def _trust_of(self, annotations, tokens, log_prob):
        """Confidence and familiarity of each row, see `_captions`."""
        if self.trust is None:
            return [(None, None)] * len(tokens)
        photos = len(annotations)
        tokens = tf.reshape(tokens, [photos, -1, tokens.shape[-1]])  # (B, n, T)
        log_prob = tf.reshape(log_prob, [photos, -1])  # (B, n)
        confidence, familiarity = self.trust(annotations, tokens, log_prob)
        familiarity = np.repeat(familiarity, tokens.shape[1])  # (B n,)
        return list(zip(np.ravel(confidence), familiarity, strict=True))

    # === Config ===

    def get_config(self):
        config = {name: getattr(self, name) for name in _SETTINGS}
        if not isinstance(self.scorer, str):
            config["scorer"] = keras.saving.serialize_keras_object(self.scorer)
        if not isinstance(self.encoder, Encoder):  # which has these by its own configuration
            places = {name: np.asarray(getattr(self.encoder, name)).tolist() for name in _PLACES}
            config["places"] = places
        if quantized := _quantized_layers(self):
            config["quantized"] = quantized
        if self.trust is not None:
            config["trust"] = {"rank": self.trust.rank, "words": self.trust.words}
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "vocabulary": self.vocabulary.words,
            **config,
            "search": self.search.as_dict(),
            "name": self.name,
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config):
        if "label_smoothing" in config:
            raise InputError("a captioner of sat_keras 0.1: train it again, or use that version")
        config = dict(config)
        encoder = keras.saving.deserialize_keras_object(
            config["encoder"], custom_objects={"Encoder": Encoder}
        )
        for name, value in config.pop("places", {}).items():
            if not hasattr(encoder, name):
                setattr(encoder, name, np.array(value) if name == "regions" else tuple(value))
        quantized = config.pop("quantized", {})
        scorer = config["scorer"]
        if not isinstance(scorer, str):
            scorer = keras.saving.deserialize_keras_object(scorer)
        others = {
            "vocabulary": Vocabulary(config["vocabulary"]),
            "search": Search(**config["search"]),
        }
        if "trust" in config:
            others["trust"] = Trust(**config["trust"])
        captioner = cls(**{**config, "encoder": encoder, "scorer": scorer, **others})
        layers = captioner._flatten_layers()
        for place, policy in quantized.items():
            layers[int(place)].dtype_policy = keras.dtype_policies.deserialize(policy)
        return captioner

    # === Doors: each imports what it needs when it is called ===

    @classmethod
    def from_preset(cls, preset, encoder_weights="imagenet"):
        """A trained captioner.

        Args:
            preset: str, one that comes with this package (`pretrained.NAMES`); or the path of a
                folder that `save_to_preset` wrote.
            encoder_weights: as `Encoder` takes them, for a preset that holds the decoder alone:
                those it was trained with. Defaults to `"imagenet"`: Keras downloads them.
        Raises:
            InputError: for an unknown preset, or files that are not one.
        """
        from sat_keras import pretrained

        return pretrained.load(cls, preset, encoder_weights)

    def save_to_preset(self, directory, with_encoder=True, trained_on=None):
        """Writes what `from_preset` reads: settings, vocabulary, and rounded weights.

        Args:
            directory: path of the folder, made here.
            with_encoder: bool. Whether the encoder's weights are written too. Without them,
                `from_preset` has to be given those of this captioner. Defaults to `True`.
            trained_on: str. The data set's name, which files made of the preset and checks of
                them need. Defaults to `None`: not known.
        Raises:
            InputError: if the folder holds something else.
        """
        from sat_keras import pretrained

        pretrained.save(self, directory, with_encoder, trained_on)

    def export(self, filepath, format=None, **options):
        """Writes a `.tflite` file, or a SavedModel for TensorFlow Serving.

        Args:
            filepath: path of the file, or of the SavedModel's folder.
            format: str, `"tflite"` or `"tf_saved_model"`. Defaults to `None`: by the suffix.
            **options: of `sat_export.export_tflite`, such as `quantize`, or of
                `sat_export.export_saved_model`.
        Raises:
            InputError: for another format.
        """
        import sat_export

        if format is None:
            format = "tflite" if Path(filepath).suffix == ".tflite" else "tf_saved_model"
        writers = {
            "tflite": sat_export.export_tflite,
            "tf_saved_model": sat_export.export_saved_model,
        }
        check_choice("format", format, writers)
        return writers[format](self, filepath, **options)


def _quantized_layers(captioner):
    """The quantized layers, by their place among all: their policies' configurations."""
    return {
        str(i): keras.dtype_policies.serialize(layer.dtype_policy)
        for i, layer in enumerate(captioner._flatten_layers())
        if getattr(layer.dtype_policy, "quantization_mode", None)
    }


def _build_scorer(scorer, attention_size):
    if isinstance(scorer, Scorer):
        return scorer
    check_choice("scorer", scorer, Scorer.known)
    return Scorer.known[scorer].from_size(attention_size)


@contextlib.contextmanager
def _policy(policy):
    """Layers that are made inside have this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
