from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sat_edge.caption import PAD, START, Caption
from sat_edge.errors import InputError, check_choice
from sat_edge.photo import open_photo, to_pixels
from sat_edge.search import Search
from sat_keras import decoding, losses, pretrained
from sat_keras.encoders import Encoder
from sat_keras.layers import (
    INJECTIONS,
    AdditiveScorer,
    AttentionDecoder,
    AttentionLSTMCell,
    BilinearScorer,
    HardSelection,
    InjectDecoder,
    SoftSelection,
    gumbel,
    repeat_rows,
)
from sat_keras.vocabulary import Vocabulary

ATTENTIONS = ("soft", "hard", "none")
SCORERS = ("additive", "bilinear")
LOCATIONS = ("expected", "most_probable", "sampled")
_BASELINE_DECAY = 0.9
_BATCH = 64  # photos that are captioned together
# What configures a captioner beside its encoder and its vocabulary.
SETTINGS = (
    "attention",
    "scorer",
    "inject",
    "units",
    "embedding_size",
    "attention_size",
    "dropout",
    "label_smoothing",
    "doubly_stochastic",
    "entropy",
    "expectation",
    "samples",
    "scheduled_sampling",
    "self_critical",
    "temperature",
    "train_encoder",
    "train_from",
    "max_length",
)


@keras.saving.register_keras_serializable("sat_keras")
class Captioner(keras.Model):
    """ "Show, Attend and Tell": an encoder, an attention decoder, and how they are trained.

    `fit` takes batches `(x, tokens, mask)` as `pipeline.batches` yields them: `x` images
    `(B / C, H, W, 3)` or the encoder's annotations `(B / C, L, D)`, `tokens` int `(B, T + 1)` from
    `<start>` on, C captions for each of `x`, `mask` `(B, T)`, 1 where a word is to be predicted. It
    minimises the mean over captions of

        -sum_t log p(y_t) + lambda sum_i (1 - sum_t alpha_ti)^2 - lambda_e sum_t H[alpha_t]

    With hard attention, locations are sampled in training, REINFORCE's term is added
    (`losses.reinforce`), and the likelihood of a word has a baseline: its moving average over
    batches, `b <- 0.9 b + 0.1 mean log p`, or, with several samples a caption, the mean of the same
    word's over the caption's other samples. `history` then has `reward` and `baseline`. The two
    regularisers' gradients are taken at the samples as they fell: only the likelihood pays for
    them.

    Clip gradients by the optimizer's own `global_clipnorm`.

    Args:
        encoder: `encoders.Encoder`; made trainable, or not, as `train_encoder` says.
        vocabulary: `Vocabulary`.
        attention: str. `"soft"`, `"hard"`, or `"none"`: the CNN-LSTM baselines. Defaults to
            `"soft"`.
        scorer: str. Of attention, `"additive"` or `"bilinear"`. Defaults to `"additive"`.
        inject: str. Without attention, where the picture goes in: `"first"`, `"every"` or `"only"`,
            see `InjectDecoder`. Defaults to `"every"`.
        units: int. LSTM size H. Defaults to `512`.
        embedding_size: int E. Defaults to `512`.
        attention_size: int A, of the additive scorer. Defaults to `512`.
        dropout: float. Defaults to `0.5`.
        label_smoothing: float. See `losses.label_smoothing`. Defaults to `0.0`.
        doubly_stochastic: float. Lambda above. Defaults to `1.0`.
        entropy: float. Lambda_e above: positive spreads attention. Defaults to `0.0`.
        expectation: float. Hard attention's share of steps that take the expected annotation in
            place of a sample. Defaults to `0.5`.
        samples: int. Hard attention's samples a caption. Defaults to `1`.
        scheduled_sampling: float. Share of words that are the model's own in place of the
            caption's, in training, see `decoding.mix_in_own_words`. Defaults to `0.0`.
        self_critical: bool. Whether `fit` raises the reward of drawn captions over the greedy
            one's in place of the likelihood: a second phase, for a captioner that can caption. Each
            photo of a batch comes with all of its captions, and `captioner.reward` is set to a
            `metrics.CaptionReward` of the training split's ids. Dropout, samples, regularisers and
            scheduled sampling do nothing in it. Defaults to `False`.
        temperature: float. Of self-critical training's softmax. At 1, nearly every caption that a
            young captioner draws is far worse than its greedy one, and there is little to learn
            from; the greedy caption is the same at any. Defaults to `0.4`.
        train_encoder: bool. Whether the encoder learns too, from batches of images. Defaults to
            `False`.
        train_from: str. Fine-tuning: of the encoder that learns, only this layer and those behind
            it, see `Encoder.fine_tune`. Defaults to `None`: all of it.
        max_length: int. Longest caption, `<end>` included, that `caption` makes. Defaults to `20`.
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
        label_smoothing=0.0,
        doubly_stochastic=1.0,
        entropy=0.0,
        expectation=0.5,
        samples=1,
        scheduled_sampling=0.0,
        self_critical=False,
        temperature=0.4,
        train_encoder=False,
        train_from=None,
        max_length=20,
        search=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_choice("attention", attention, ATTENTIONS)
        check_choice("scorer", scorer, SCORERS)
        check_choice("inject", inject, INJECTIONS)
        for name, share in {
            "dropout": dropout,
            "label_smoothing": label_smoothing,
            "expectation": expectation,
            "scheduled_sampling": scheduled_sampling,
        }.items():
            if not 0 <= share <= 1:
                raise InputError(f"{name} is {share}: it is a share, 0 to 1")
        if samples < 1:
            raise InputError(f"samples is {samples}: name 1 or more")
        if temperature <= 0:
            raise InputError(f"temperature is {temperature}: name one above 0")

        # === Layers ===
        self.encoder = encoder
        self.encoder.trainable = train_encoder
        if train_encoder and train_from:
            self.encoder.fine_tune(train_from)
        if attention == "none":
            self.decoder = InjectDecoder(len(vocabulary), units, embedding_size, inject, dropout)
        else:
            cell = AttentionLSTMCell(
                units,
                AdditiveScorer(attention_size) if scorer == "additive" else BilinearScorer(),
                HardSelection(expectation) if attention == "hard" else SoftSelection(),
            )
            self.decoder = AttentionDecoder(len(vocabulary), cell, embedding_size, dropout)
        self.decoder.build(encoder.output_shape)
        self.seed_generator = keras.random.SeedGenerator()
        if attention == "hard":
            # Of a word, in nats: at first that of one drawn blindly.
            self.baseline = self.add_weight(
                name="baseline",
                initializer=keras.initializers.Constant(-np.log(len(vocabulary))),
                trainable=False,
                dtype="float32",
            )
        self.reward = None
        self.built = True
        self.supports_jit = False  # XLA would compile the step anew for every caption length

        # Compiled, an encoder's layers need not all be held at once.
        self._compiled_encode = tf.function(self.encode, reduce_retracing=True)
        self._compiled_greedy = tf.function(self.greedy, reduce_retracing=True)
        self._compiled_beam = tf.function(self.beam, reduce_retracing=True)
        self._compiled_sample = tf.function(self.draw, reduce_retracing=True)

        # === Metrics: means over words, so that captions of any length compare ===
        names = ["loss", "cross_entropy", "accuracy", "attention_entropy", "gradient_norm"]
        if attention == "hard" or self_critical:
            names += ["reward", "baseline"]
        self.means = {name: keras.metrics.Mean(name) for name in names}

        # === Config ===
        self.search = Search(**search) if isinstance(search, dict) else search or Search()
        self.vocabulary = vocabulary
        self.attention = attention
        self.scorer = scorer
        self.inject = inject
        self.units = units
        self.embedding_size = embedding_size
        self.attention_size = attention_size
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.doubly_stochastic = doubly_stochastic
        self.entropy = entropy
        self.expectation = expectation
        self.samples = samples
        self.scheduled_sampling = scheduled_sampling
        self.self_critical = self_critical
        self.temperature = temperature
        self.train_encoder = train_encoder
        self.train_from = train_from
        self.max_length = max_length

    # === Training ===

    def encode(self, x, training=False):
        """Images `(B, H, W, 3)` to annotations `(B, L, D)`; annotations stay as they are."""
        if len(x.shape) == 4:
            return self.encoder(ops.cast(x, "float32"), training=training and self.train_encoder)
        if training and self.train_encoder:
            raise InputError("train_encoder needs batches of images, not of annotations")
        return x

    def call(self, x, tokens, training=False):
        """`logits` `(B, T, V)`, `alphas` `(B, T, L)` and `samples` of the words after `tokens`.

        `x` is of B / C photos: the captions of one come one after the other.
        """
        return self.decoder(self.encode(x, training), tokens, training=training)

    def train_step(self, data):
        x, tokens, mask = data
        if self.self_critical:
            drawn, advantages = self._draw_captions(x, tokens)
        else:
            previous = self._mix_in_own_words(x, tokens[:, :-1])  # (B, T)
        with tf.GradientTape() as tape:
            if self.self_critical:
                loss = self._self_critical_loss(x, drawn, advantages)
            else:
                loss = self._loss(x, previous, tokens[:, 1:], mask, training=True)
            scaled = self.optimizer.scale_loss(loss)
        # Dense: the embedding's gradient holds a word that comes twice as two rows, whose norm, and
        # so what clipping does, would not be the gradient's.
        gradients = tape.gradient(scaled, self.trainable_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        # Mixed precision scales losses, and so gradients; where they overflow it skips the step.
        norm = tf.linalg.global_norm(gradients) * (loss / scaled)
        finite = tf.math.is_finite(norm)
        self.means["gradient_norm"].update_state(tf.where(finite, norm, 0.0), sample_weight=finite)
        return self._results(without=("cross_entropy", "accuracy") if self.self_critical else ())

    def test_step(self, data):
        x, tokens, mask = data
        self._loss(x, tokens[:, :-1], tokens[:, 1:], mask, training=False)
        return self._results(without=("gradient_norm", "reward", "baseline"))

    def _results(self, without):
        return {name: mean.result() for name, mean in self.means.items() if name not in without}

    def _loss(self, x, previous, words, mask, training):
        """Mean over captions; see the class."""
        if training and self.attention == "hard":
            previous, words, mask = repeat_rows((previous, words, mask), self.samples)
        logits, alphas, sampled = self(x, previous, training=training)  # (B, T, V), (B, T, L)

        nll = losses.cross_entropy(words, logits, mask)  # (B, T)
        spread = losses.entropy(alphas, mask)  # (B, T)
        loss = ops.sum(nll - self.entropy * spread, axis=-1)  # (B,)
        if training and self.label_smoothing:
            smoothing = losses.label_smoothing(words, logits, mask)  # (B, T)
            loss += self.label_smoothing * ops.sum(smoothing, axis=-1)
        if self.attention != "none":  # whose uniform weights cost the same whatever it learns
            loss += self.doubly_stochastic * losses.doubly_stochastic(alphas, mask)
        if sampled is not None:
            loss += losses.reinforce(-nll, self._baselines(-nll, mask), alphas, sampled)

        correct = ops.cast(ops.equal(ops.argmax(logits, axis=-1), words), "float32")  # (B, T)
        self.means["loss"].update_state(loss)
        self.means["cross_entropy"].update_state(nll, sample_weight=mask)
        self.means["accuracy"].update_state(correct, sample_weight=mask)
        self.means["attention_entropy"].update_state(spread, sample_weight=mask)
        return ops.mean(loss)

    def _baselines(self, rewards, mask):
        """What each word's log-likelihood `(B, T)` is compared with; moves the moving average."""
        mean = ops.sum(rewards) / ops.sum(mask)
        self.means["reward"].update_state(mean)
        self.means["baseline"].update_state(self.baseline)
        if self.samples > 1:
            steps = ops.shape(rewards)[1]
            each = ops.reshape(rewards, (-1, self.samples, steps))  # (B / S, S, T)
            others = (ops.sum(each, axis=1, keepdims=True) - each) / (self.samples - 1)
            baselines = ops.reshape(others, (-1, steps))  # (B, T)
        else:
            baselines = self.baseline * mask  # (B, T)
        self.baseline.assign(_BASELINE_DECAY * self.baseline + (1 - _BASELINE_DECAY) * mean)
        return baselines

    def _mix_in_own_words(self, x, previous):
        """Scheduled sampling, outside the gradient's tape."""
        if not self.scheduled_sampling:
            return previous
        annotations = self.encode(x)  # (B / C, L, D)
        captions_per_photo = tf.shape(previous)[0] // tf.shape(annotations)[0]
        memory, state = repeat_rows(self.decoder.start(annotations), captions_per_photo)
        seed = self._next_seed()
        return decoding.mix_in_own_words(
            self._step(memory), state, previous, self.scheduled_sampling, seed
        )

    def _next_seed(self):
        return tf.cast(self.seed_generator.next(), tf.int32)  # (2,)

    def _draw_captions(self, x, tokens):
        """Self-critical training's captions `(B, T)`, as many of each photo as it has references
        in `tokens`, and by how much each beats the greedy one `(B,)`."""
        if self.reward is None:
            raise InputError(
                "self-critical training: set captioner.reward = CaptionReward(...) first"
            )
        annotations = self.encode(x)  # (B / C, L, D)
        captions_per_photo = tf.shape(tokens)[0] // tf.shape(annotations)[0]
        memory, state = self.decoder.start(annotations)
        photos, locations, max_length = self._sizes(annotations)
        own, *_ = decoding.greedy(self._step(memory), state, photos, locations, max_length)
        memory, state = repeat_rows((memory, state), captions_per_photo)
        count, seed = tf.shape(tokens)[0], self._next_seed()
        drawn, *_ = decoding.sample(
            self._step(memory), state, count, locations, max_length, self.temperature, seed=seed
        )
        rewards, baselines = tf.numpy_function(
            self._rewards, [drawn, own, tokens[:, 1:]], [tf.float32, tf.float32]
        )
        rewards, baselines = tf.ensure_shape(rewards, [None]), tf.ensure_shape(baselines, [None])
        self.means["reward"].update_state(rewards)
        self.means["baseline"].update_state(baselines)
        longest = tf.reduce_max(tf.math.count_nonzero(drawn, axis=1))
        return drawn[:, :longest], rewards - tf.repeat(baselines, captions_per_photo)

    def _rewards(self, drawn, own, references):
        """Of drawn `(B, T)` and greedy `(B / C, T)` captions. `<end>` counts as a word, or
        captions would learn to stop in the middle."""
        drawn, own, references = (
            [row[row != PAD].tolist() for row in rows] for rows in (drawn, own, references)
        )
        each = len(references) // len(own)
        of_photos = [references[i : i + each] for i in range(0, len(references), each)]
        of_drawn = [of_photos[i // each] for i in range(len(drawn))]
        scores = self.reward.score(drawn + own, of_drawn + of_photos).astype("float32")
        return scores[: len(drawn)], scores[len(drawn) :]

    def _self_critical_loss(self, x, drawn, advantages):
        """`-(r(w) - r(greedy)) log p(w)`, mean over drawn captions w (Rennie et al., 2017, eq. 9).

        Nothing is dropped, no location sampled, and no special word possible: these are the
        probabilities it was drawn with.
        """
        mask = ops.cast(ops.not_equal(drawn, PAD), "float32")  # (B, T)
        previous = ops.pad(drawn[:, :-1], [[0, 0], [1, 0]], constant_values=START)  # (B, T)
        logits, alphas, _ = self.decoder(self.encode(x), previous)  # (B, T, V), (B, T, L)
        logits = decoding.bar(logits) / self.temperature
        nll = losses.cross_entropy(drawn, logits, mask)  # (B, T)
        loss = advantages * ops.sum(nll, axis=-1)  # (B,)
        self.means["loss"].update_state(loss)
        self.means["attention_entropy"].update_state(
            losses.entropy(alphas, mask), sample_weight=mask
        )
        return ops.mean(loss)

    # === Captioning ===

    def annotations(self, photos):
        """What the encoder says of photos: float32 array `(B, L, D)`. `photos` as `caption`'s."""
        batches = (self._compiled_encode(x) for x in self._batches(photos))
        return np.concatenate([ops.convert_to_numpy(each) for each in batches])

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
        how = self.search.override(n_best=1, **search)
        if how.is_greedy:
            found = (self._captions(*self._compiled_greedy(x)) for x in self._batches(photos))
            return [caption for captions in found for caption in captions]
        return [captions[0] for captions in self._search(photos, how)]

    def beam_search(self, photos, **search):
        """The n best captions of each photo, the best first: a list of lists of `Caption`.

        Args:
            photos, search: see `caption`.
        """
        return self._search(photos, self.search.override(**search))

    def _search(self, photos, search):
        captions = []
        for x in self._batches(photos):
            found = self._compiled_beam(x, search)
            best = (each[:, : search.n_best] for each in found)  # each (B, n, ...)
            captions += [self._captions(*each) for each in zip(*best, strict=True)]
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
            captions += self._captions(*found)
        return captions

    def greedy(self, x):
        """`decoding.greedy` on images `(B, H, W, 3)` or annotations `(B, L, D)`."""
        annotations = self.encode(x)  # (B, L, D)
        memory, state = self.decoder.start(annotations)
        return decoding.greedy(self._step(memory), state, *self._sizes(annotations))

    def beam(self, x, search):
        """`decoding.beam_search` on images `(B, H, W, 3)` or annotations `(B, L, D)`."""
        annotations = self.encode(x)  # (B, L, D)
        memory, state = repeat_rows(self.decoder.start(annotations), search.beam_width)
        return decoding.beam_search(self._step(memory), state, *self._sizes(annotations), search)

    def draw(self, x, temperature, top_k, top_p, locations, seed):
        """`decoding.sample` on images `(B, H, W, 3)` or annotations `(B, L, D)`."""
        annotations = self.encode(x)  # (B, L, D)
        memory, state = self.decoder.start(annotations)
        step, sizes = self._step(memory), self._sizes(annotations)
        if locations != "expected":
            step, state = self._locating_step(memory, state, locations, seed, *sizes[:2])
        return decoding.sample(step, state, *sizes, temperature, top_k, top_p, seed=seed)

    def _step(self, memory):
        return lambda token, state: self.decoder.step(token, state, memory)

    def _locating_step(self, memory, state, locations, seed, batch_size, count):
        """A step that takes one location as its context, and counts: a new one each time."""

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
        """`photos` as tensors of a few rows each: memory does not grow with their number."""
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
            yield tf.cast(batch, tf.float32)

    def _captions(self, tokens, attention, log_prob, score=None):
        """`Caption` of each row."""
        score = log_prob if score is None else score
        outputs = (np.asarray(each) for each in (tokens, attention, log_prob, score))
        return [
            Caption.from_decoder(self.vocabulary, *each, self.encoder.grid, self.encoder.regions)
            for each in zip(*outputs, strict=True)
        ]

    # === Config ===

    def get_config(self):
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "vocabulary": self.vocabulary.words,
            **{name: getattr(self, name) for name in SETTINGS},
            "search": self.search.as_dict(),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        encoder = keras.saving.deserialize_keras_object(
            config["encoder"], custom_objects={"Encoder": Encoder}
        )
        vocabulary = Vocabulary(config["vocabulary"])
        return cls(**{**config, "encoder": encoder, "vocabulary": vocabulary})

    # === Presets ===

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
        return pretrained.load(cls, preset, encoder_weights)

    def save_to_preset(self, directory, with_encoder=True, trained_on=None):
        """Writes what `from_preset` reads: settings, vocabulary, and rounded weights.

        Args:
            directory: path of the folder, made here.
            with_encoder: bool. Whether the encoder's weights are written too. Without them,
                `from_preset` has to be given those of this captioner. Defaults to `True`.
            trained_on: str. The data set's name, which files made of the preset and checks of
                them need. Defaults to `None`: not said.
        Raises:
            InputError: if the folder holds something else.
        """
        pretrained.save(self, directory, with_encoder, trained_on)

    # Keras saves weights but not the state of random generators. With it, a run that is
    # resumed drops the same units as one that was never stopped.
    def save_own_variables(self, store):
        for i, state in enumerate(self._own_variables()):
            store[str(i)] = state.numpy()

    def load_own_variables(self, store):
        for i, state in enumerate(self._own_variables()):
            state.assign(store[str(i)])

    def _own_variables(self):
        states = [each for each in self.variables if each.name == "seed_generator_state"]
        return states + ([self.baseline] if self.attention == "hard" else [])
