"""What people expect of a `keras.Model` holds for a captioner: each compared with a reference."""

import contextlib
import csv
import io
import json
import subprocess
import sys
import warnings
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_edge import Captioner as EdgeCaptioner
from sat_edge import InputError
from sat_edge.caption import PAD
from sat_keras import Captioner, Search
from sat_keras.layers import Scorer
from sat_keras.objectives import CrossEntropy

KINDS = ("soft", "hard", "none")
SLOW = pytest.mark.slow
BEAM = Search(beam_width=3, length_penalty=0.5)


def own_encoder(regularizer=None):
    """A plain `keras.Model` with the attributes of an encoder: 2 x 2 locations of 8 x 8 photos."""
    images = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(6, 4, strides=4, kernel_regularizer=regularizer, name="see")(x)
    encoder = keras.Model(images, keras.layers.Reshape((4, 6))(x))
    encoder.image_size, encoder.grid = (8, 8), (2, 2)
    encoder.regions = np.array([[y, x, y + 0.5, x + 0.5] for y in (0, 0.5) for x in (0, 0.5)])
    return encoder


@pytest.fixture(scope="module")
def build(vocabulary, draw_weights):
    """Captioners of `own_encoder`, whose captions differ from photo to photo."""

    def build(encoder=None, **options):
        keras.utils.set_random_seed(0)
        sizes = {"units": 16, "embedding_size": 12, "attention_size": 8, "max_length": 7}
        model = Captioner(encoder or own_encoder(), vocabulary, **{**sizes, **options})
        draw_weights(model.decoder, 0.7, seed=3)
        return model

    return build


@pytest.fixture(scope="module")
def data(vocabulary):
    """Images `(8, 8, 8, 3)` and a caption of each, tokens `(8, T + 1)`."""
    images = np.random.default_rng(5).integers(0, 256, (8, 8, 8, 3), dtype="uint8")
    texts = ("a red square", "the square is red", "there is a big red square", "one square")
    ids = [vocabulary.encode(text) for text in texts] * 2
    tokens = np.full((8, max(map(len, ids))), PAD, "int32")
    for row, each in zip(tokens, ids, strict=True):
        row[: len(each)] = each
    return images, tokens


def texts_of(model, images, **search):
    return [each.text for each in model.caption(images, **search)]


def numpy_losses(model, images, tokens, weights=None):
    """Each caption's loss by eq. 14 `(N,)` and the log-likelihoods of words `(N, T)`."""
    words, mask = tokens[:, 1:], tokens[:, 1:] != PAD
    logits, alphas = (np.asarray(each, "float64") for each in model(images, tokens[:, :-1])[:2])
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    log_p = np.take_along_axis(log_p, words[..., None], -1)[..., 0] * mask
    coverage = ((1 - (alphas * mask[..., None]).sum(1)) ** 2).sum(-1)
    weights = np.ones(words.shape) if weights is None else weights
    mean_weight = (weights * mask).sum(1) / mask.sum(1)
    return -(weights * log_p).sum(1) + mean_weight * coverage, log_p


def same_weights(one, other, **tolerance):
    for got, wanted in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, **tolerance)


# === What fit takes ===


def test_fit_takes_arrays_and_the_mask_follows_from_padding(build, data):
    images, tokens = data
    model = build(dropout=0.0)
    model.compile(keras.optimizers.SGD(0.0))
    losses, log_p = numpy_losses(model, images, tokens)
    history = model.fit(images, tokens, batch_size=8, verbose=0).history
    assert history["loss"] == [pytest.approx(losses.mean(), rel=1e-5)]
    mean = log_p.sum() / (tokens[:, 1:] != PAD).sum()
    assert history["cross_entropy"] == [pytest.approx(-mean, rel=1e-5)]


def test_validation_split_holds_the_last_photos_out(build, data):
    images, tokens = data
    model = build(dropout=0.0)
    model.compile(keras.optimizers.SGD(0.0))
    losses, _ = numpy_losses(model, images, tokens)
    history = model.fit(images, tokens, validation_split=0.25, verbose=0).history
    assert history["loss"] == [pytest.approx(losses[:6].mean(), rel=1e-5)]
    assert history["val_loss"] == [pytest.approx(losses[6:].mean(), rel=1e-5)]


def test_a_photo_s_weight_scales_its_loss(build, data):
    images, tokens = data
    weights = np.array([0.0, 1.0, 2.0, 0.5, 1.0, 1.0, 0.0, 3.0])
    model = build(dropout=0.0)
    model.compile(keras.optimizers.SGD(0.0))
    losses, log_p = numpy_losses(model, images, tokens)
    mask = tokens[:, 1:] != PAD
    for measure in (model.train_on_batch, model.test_on_batch):
        found = measure(images, tokens, sample_weight=weights, return_dict=True)
        assert found["loss"] == pytest.approx((weights * losses).mean(), rel=1e-5)
        mean = (weights[:, None] * log_p).sum() / (weights[:, None] * mask).sum()
        assert found["cross_entropy"] == pytest.approx(-mean, rel=1e-5)


def test_a_photo_of_no_weight_does_not_matter(build, data):
    images, tokens = data
    weights = np.array([1.0] * 6 + [0.0] * 2)
    model, other = build(dropout=0.0), build(dropout=0.0)
    # Means are over all photos of the batch, as in Keras: 8, not 6.
    for each, rate in ((model, 0.4), (other, 0.3)):
        each.compile(keras.optimizers.SGD(rate))
    model.train_on_batch(images, tokens, sample_weight=weights)
    other.train_on_batch(images[:6], tokens[:6])
    same_weights(model, other, atol=1e-6)


def test_words_may_have_weights_of_their_own(build, data):
    images, tokens = data
    weights = np.random.default_rng(0).uniform(0, 2, (8, tokens.shape[1] - 1))
    model = build(dropout=0.0)
    model.compile()
    losses, _ = numpy_losses(model, images, tokens, weights)
    found = model.evaluate(images, tokens, sample_weight=weights, return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    # The same with two captions of each photo.
    pairs, of_pairs = tokens.reshape(4, 2, -1), weights.reshape(4, 2, -1)
    losses, _ = numpy_losses(model, images[[0, 0, 1, 1, 2, 2, 3, 3]], tokens, weights)
    found = model.evaluate(images[:4], pairs, sample_weight=of_pairs, return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)


# === predict, export ===


@pytest.mark.parametrize("search", [Search(), BEAM], ids=["greedy", "beam"])
def test_predict_gives_the_tokens_of_caption(build, data, search):
    images, _ = data
    model = build(search=search)
    wanted = np.full((8, 7), PAD, "int32")
    for row, caption in zip(wanted, model.caption(images), strict=True):
        row[: len(caption.tokens)] = caption.tokens
    assert len({tuple(row) for row in wanted}) > 1
    found = model.predict(images, batch_size=3, verbose=0)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(model.predict_on_batch(images), wanted)


def test_a_search_of_one_s_own_finds_other_captions(build, data):
    """Or the test above would say little of beams."""
    images, _ = data
    assert texts_of(build(), images) != texts_of(build(search=BEAM), images)


@pytest.mark.parametrize(
    "search", [pytest.param(Search(), marks=SLOW), BEAM], ids=["greedy", "beam"]
)
def test_export_writes_a_tflite_file(make_captioner, photos, tmp_path, search):
    captioner = make_captioner(search=search)
    captioner.export(tmp_path / "captioner.tflite")
    edge = EdgeCaptioner(tmp_path / "captioner.tflite")
    found = [edge.caption(photo).text for photo in photos]
    assert found == texts_of(captioner, photos)
    assert len(set(found)) > 1


def test_export_writes_a_saved_model(make_captioner, tmp_path):
    captioner = make_captioner(search=BEAM)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 64, 3), dtype="uint8")
    captioner.export(tmp_path / "served")
    served = tf.saved_model.load(tmp_path / "served" / "1")
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    found = served.signatures["serving_default"](images=encoded)["captions"]
    assert [text.decode() for text in found.numpy()] == texts_of(captioner, images)
    with pytest.raises(InputError, match="unknown format 'onnx': choose one of"):
        captioner.export(tmp_path / "captioner.onnx", format="onnx")


# === Layers and their losses ===


@pytest.mark.parametrize("attention", KINDS)
def test_every_layer_is_built_at_once(build, attention):
    model = build(attention=attention)
    assert [each.name for each in model._flatten_layers() if not each.built] == []
    with contextlib.redirect_stdout(io.StringIO()):
        model.summary(print_fn=(lines := []).append)
    assert f"Total params: {model.count_params():,}" in "\n".join(lines)


def test_a_regularizer_counts_in_loss_and_gradient(build, data):
    images, tokens = data
    model = build(own_encoder(keras.regularizers.L2(0.1)), dropout=0.0)
    model.encoder.trainable = True
    model.compile(keras.optimizers.SGD(1.0))
    losses, _ = numpy_losses(model, images, tokens)
    kernel = model.encoder.get_layer("see").kernel
    penalty = 0.1 * (kernel.numpy() ** 2).sum()
    wanted = pytest.approx(losses.mean() + penalty, rel=1e-5)
    assert penalty > 0.01 * losses.mean()
    assert model.test_on_batch(images, tokens, return_dict=True)["loss"] == wanted
    without = build(dropout=0.0)
    without.encoder.trainable = True
    without.compile(keras.optimizers.SGD(1.0))
    without.set_weights(model.get_weights())
    before = kernel.numpy()
    assert model.train_on_batch(images, tokens, return_dict=True)["loss"] == wanted
    without.train_on_batch(images, tokens)
    difference = kernel.numpy() - without.encoder.get_layer("see").kernel.numpy()
    np.testing.assert_allclose(difference, -2 * 0.1 * before, atol=1e-5)


def test_a_frozen_layer_s_regularizer_does_not_count(build, data):
    images, tokens = data
    model = build(own_encoder(keras.regularizers.L2(0.1)), dropout=0.0)
    model.compile()
    losses, _ = numpy_losses(model, images, tokens)
    found = model.test_on_batch(images, tokens, return_dict=True)
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)


class DotScorer(Scorer):
    """`e_ti = h . W a_i`: a user's own."""

    def build(self, annotations_shape, units):
        self.projection = keras.layers.Dense(units)
        self.projection.build(annotations_shape)
        self.built = True

    def project(self, annotations):
        return self.projection(annotations)

    def call(self, projected, h):
        return tf.einsum("blh,bh->bl", projected, h)


def test_a_scorer_of_one_s_own_trains_and_is_saved(build, data, tmp_path):
    images, tokens = data
    model = build(scorer=DotScorer(), dropout=0.0)
    # Its scores are those of the equation.
    annotations = model.encode(images)
    memory, (h, c) = model.decoder.start(annotations)
    _, _, alphas = model.decoder.step(tokens[:, 0], (h, c), memory)
    kernel, bias = model.decoder.cell.scorer.projection.get_weights()
    scores = np.einsum("bld,dh,bh->bl", annotations, kernel, h) + (np.asarray(h) @ bias)[:, None]
    wanted = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(alphas, wanted, atol=1e-5)

    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(images, tokens, epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert (model.decoder.cell.scorer.projection.get_weights()[0] != kernel).any()
    model.save(tmp_path / "own.keras")
    loaded = keras.saving.load_model(
        tmp_path / "own.keras", custom_objects={"DotScorer": DotScorer}
    )
    assert isinstance(loaded.decoder.cell.scorer, DotScorer)
    same_weights(loaded, model, rtol=0)
    assert texts_of(loaded, images) == texts_of(model, images)


def test_an_encoder_of_one_s_own_trains_captions_and_is_saved(build, data, tmp_path):
    images, tokens = data
    model = build(dropout=0.0)
    model.encoder.trainable = True
    model.compile(keras.optimizers.Adam(1e-2))
    before = model.encoder.get_weights()
    history = model.fit(images, tokens, epochs=10, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert all((w != b).any() for w, b in zip(model.encoder.get_weights(), before, strict=True))
    caption, *_ = model.caption(images)
    assert caption.attention.shape == (len(caption.tokens), 2, 2)
    np.testing.assert_array_equal(caption.regions, model.encoder.regions)
    model.save(tmp_path / "own.keras")
    loaded = keras.saving.load_model(tmp_path / "own.keras")
    assert loaded.encoder.trainable and loaded.encoder.image_size == (8, 8)
    assert texts_of(loaded, images) == texts_of(model, images)
    again, *_ = loaded.caption(images)
    np.testing.assert_array_equal(again.regions, caption.regions)
    assert again.attention.shape == caption.attention.shape


# === Other weights ===


@pytest.mark.slow
@pytest.mark.parametrize(
    "attention", ["soft", pytest.param("hard", marks=SLOW), pytest.param("none", marks=SLOW)]
)
def test_int8_captions_nearly_as_before(build, data, tmp_path, attention):
    images, tokens = data
    model = build(attention=attention)
    model.caption(images)  # traced with the weights as they are
    before, *_ = model(images, tokens)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers without weights cannot be quantized
        model.quantize("int8")
    assert "int8" in {each.dtype for each in model.decoder.weights}
    after, *_ = model(images, tokens)
    error = np.asarray(after) - np.asarray(before)
    assert 0 < error.std() < 0.1 * np.asarray(before).std()
    # Captions are those of the new weights.
    for image, caption in zip(images, model.caption(images), strict=True):
        words = caption.tokens[None]
        previous = np.concatenate([[[1]], words[:, :-1]], axis=1)
        log_p = tf.nn.log_softmax(model(image[None], previous)[0]).numpy()
        likelihood = np.take_along_axis(log_p, words[..., None], -1).sum()
        assert caption.log_prob == pytest.approx(likelihood, abs=1e-4)
    model.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    np.testing.assert_allclose(loaded(images, tokens)[0], after, atol=1e-5)


@pytest.mark.slow
def test_lora_trains_its_matrices_alone(build, data, tmp_path):
    images, tokens = data
    model = build(dropout=0.0)
    texts = texts_of(model, images)
    embedding, dense = model.decoder.embedding, model.decoder.deep_output.project_word
    embedding.enable_lora(2)
    dense.enable_lora(2)
    model.compile(keras.optimizers.Adam(3e-2))
    assert texts_of(model, images) == texts  # its second matrix begins with zeros
    kernel, embeddings = dense._kernel.numpy(), embedding._embeddings.numpy()
    history = model.fit(images, tokens, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    np.testing.assert_array_equal(dense._kernel.numpy(), kernel)
    np.testing.assert_array_equal(embedding._embeddings.numpy(), embeddings)
    merged = kernel + dense.lora_kernel_a.numpy() @ dense.lora_kernel_b.numpy()
    assert abs(merged - kernel).max() > 0.01
    after = texts_of(model, images)
    assert after != texts
    # Saved, the matrices are one with the kernel.
    model.save(tmp_path / "lora.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer's state is of other variables
        loaded = keras.saving.load_model(tmp_path / "lora.keras")
    found = loaded.decoder.deep_output.project_word.kernel.numpy()
    np.testing.assert_allclose(found, merged, atol=1e-6)
    assert texts_of(loaded, images) == after


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=SLOW)])
def test_mixed_precision_is_the_captioner_s_own(build, data, tmp_path, policy):
    images, tokens = data
    model = build(dropout=0.0, dtype=policy)
    assert keras.config.dtype_policy().name == "float32"
    assert model.decoder.deep_output.project_word.compute_dtype == policy.removeprefix("mixed_")
    assert {each.dtype for each in model.trainable_variables} == {"float32"}
    reference = build(dropout=0.0)
    reference.set_weights(model.get_weights())
    wanted, got = (np.asarray(each(images, tokens)[0]) for each in (reference, model))
    assert 0 < abs(got - wanted).max() < 0.05 * abs(wanted).max()
    # Norms are of unscaled gradients.
    reference.compile(keras.optimizers.SGD(0.0))
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0), initial_scale=64))
    wanted, got = (
        each.train_on_batch(images, tokens, return_dict=True) for each in (reference, model)
    )
    assert got["gradient_norm"] == pytest.approx(wanted["gradient_norm"], rel=0.05)
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=5.0))
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    history = model.fit(images, tokens, epochs=15, verbose=0).history
    assert history["cross_entropy"][-1] < 0.8 * history["cross_entropy"][0]
    assert np.isfinite(history["gradient_norm"]).all()
    for caption in model.caption(images):
        assert caption.attention.dtype == np.float32
        np.testing.assert_allclose(caption.attention.sum((1, 2)), 1, atol=1e-5)
    model.save(tmp_path / "mixed.keras")
    loaded = keras.saving.load_model(tmp_path / "mixed.keras")
    assert loaded.dtype_policy.name == policy
    assert loaded.decoder.dtype_policy.name == loaded.decoder.embedding.dtype_policy.name == policy
    same_weights(loaded, model, rtol=0)
    np.testing.assert_allclose(loaded(images, tokens)[0], model(images, tokens)[0], atol=1e-6)
    loaded.fit(images, tokens, verbose=0)


@SLOW
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("attention", ["hard", "none"])
def test_mixed_precision_without_soft_attention(build, data, policy, attention):
    images, tokens = data
    model = build(dropout=0.0, dtype=policy, attention=attention)
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=5.0))
    history = model.fit(images, tokens, epochs=30, verbose=0).history
    assert history["cross_entropy"][-1] < 0.8 * history["cross_entropy"][0]
    assert np.isfinite(history["gradient_norm"]).all()


def test_a_global_policy_is_taken_too(build):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.decoder.cell.beta.compute_dtype == "bfloat16"


# === compile ===


@pytest.mark.parametrize("name", ["loss", "metrics", "weighted_metrics", "loss_weights"])
def test_what_an_objective_brings_is_refused(build, name):
    with pytest.raises(InputError, match=f"compile takes no {name}: .*objective=") as error:
        build().compile("adam", **{name: "accuracy"})
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("attention", KINDS)
def test_no_metric_s_name_comes_twice(build, data, attention):
    images, tokens = data
    model = build(attention=attention)
    model.compile()
    assert len(set(model.metrics_names)) == len(model.metrics_names)
    found = model.train_on_batch(images, tokens, return_dict=True)
    assert sorted(found) == sorted(model.metrics_names)
    history = model.fit(images, tokens, validation_data=data, verbose=0).history
    validated = {each.removeprefix("val_") for each in history if each.startswith("val_")}
    assert validated == set(model.metrics_names) - {"gradient_norm", "reward", "baseline"}


def test_a_trainable_encoder_needs_images(build, data):
    images, tokens = data
    model = build()
    model.encoder.trainable = True
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(InputError, match="the encoder is trainable, and learns from images") as e:
        model.fit(model.annotations(images), tokens, verbose=0)
    assert "\n" not in str(e.value)
    before = model.encoder.get_weights()
    model.fit(images, tokens, verbose=0)
    assert all((w != b).any() for w, b in zip(model.encoder.get_weights(), before, strict=True))


def batches(data, size):
    return tf.data.Dataset.from_tensor_slices(data).batch(size)


def trained(model, dataset, optimizer=None, **options):
    """The history of two epochs, whose random numbers are the same each time."""
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), **options)
    generators = [each for each in model.variables if each.name == "seed_generator_state"]
    for i, generator in enumerate([*generators, model.objective.seeds.state]):
        generator.assign([i, 0])
    return model.fit(dataset, epochs=2, verbose=0, shuffle=False).history


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"steps_per_execution": 3}, {"run_eagerly": True}])
def test_how_steps_are_executed_changes_nothing(build, data, options):
    """Seven batches are no multiple of three."""
    data = tuple(each[:7] for each in data)
    plain, other = build(attention="hard"), build(attention="hard")
    wanted = trained(plain, batches(data, 1))
    found = trained(other, batches(data, 1), **options)
    same_weights(other, plain, atol=1e-5)
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=1e-3), name
    baselines = [float(each.objective.baseline.numpy()) for each in (plain, other)]
    assert baselines[0] == pytest.approx(baselines[1], rel=1e-5)


@pytest.mark.slow
def test_gradients_of_two_batches_accumulate_to_those_of_one(build, data):
    one, two = build(dropout=0.0), build(dropout=0.0)
    trained(one, batches(data, 8), keras.optimizers.SGD(0.1))
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    trained(two, batches(data, 4), optimizer)
    same_weights(two, one, atol=1e-6)


# === Callbacks ===


def test_callbacks_know_which_way_metrics_get_better(build):
    model = build(attention="hard")
    model.compile()
    upwards = {"accuracy": True, "reward": True, "cross_entropy": False, "loss": False}
    for name, up in upwards.items():
        stop = keras.callbacks.EarlyStopping(f"val_{name}", patience=1)  # of mode auto
        stop.set_model(model)
        for values, stops in (([1.0, 2.0, 3.0], not up), ([3.0, 2.0, 1.0], up)):
            model.stop_training = False
            stop.on_train_begin()
            for epoch, value in enumerate(values):
                stop.on_epoch_end(epoch, {f"val_{name}": value})
            assert model.stop_training == stops, name


class Unlearn(keras.optimizers.SGD):
    """Goes up the gradient."""

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(-gradient, variable, learning_rate)


@pytest.mark.parametrize("optimizer, epochs", [(keras.optimizers.SGD, 6), (Unlearn, 3)])
def test_early_stopping_stops_what_gets_worse(build, data, optimizer, epochs):
    model = build(dropout=0.0)
    model.compile(optimizer(0.05))
    stop = keras.callbacks.EarlyStopping("val_cross_entropy", patience=2)
    history = model.fit(*data, validation_data=data, epochs=6, verbose=0, callbacks=[stop]).history
    assert len(history["loss"]) == epochs


def test_checkpoints_hold_the_best_epoch(build, data, tmp_path):
    images, tokens = data
    model = build(dropout=0.0)
    model.compile(keras.optimizers.SGD(0.1))
    weights, values = [], []

    class Remember(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.optimizer.learning_rate = 20.0  # so that the third is worse
            weights.append(self.model.get_weights())
            values.append(logs["val_cross_entropy"])

    checkpoint = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", "val_cross_entropy", save_best_only=True
    )
    model.fit(
        images,
        tokens,
        validation_data=data,
        epochs=3,
        verbose=0,
        callbacks=[Remember(), checkpoint],
    )
    best = int(np.argmin(values))
    assert best < 2
    loaded = keras.saving.load_model(tmp_path / "best.keras")
    for got, wanted in zip(loaded.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(got, wanted)
    found = loaded.evaluate(images, tokens, return_dict=True, verbose=0)
    assert found["cross_entropy"] == pytest.approx(values[best], rel=1e-5)


@pytest.mark.slow
def test_backup_and_restore_goes_on_where_it_was_stopped(build, data, tmp_path):
    def start():
        model = build(attention="hard")
        model.compile(keras.optimizers.Adam(1e-2))
        generators = [each for each in model.variables if each.name == "seed_generator_state"]
        for i, generator in enumerate([*generators, model.objective.seeds.state]):
            generator.assign([i, 0])
        return model

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    options = {"epochs": 3, "verbose": 0, "batch_size": 4, "shuffle": False}
    straight = start()
    straight.fit(*data, **options)
    stopped = start()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*data, **options, callbacks=[backup, Stop()])
    restored = start()
    epochs = []
    note = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    restored.fit(*data, **options, callbacks=[backup, note])
    assert epochs == [2]
    same_weights(restored, straight, rtol=0)
    baselines = [float(each.objective.baseline.numpy()) for each in (straight, restored)]
    assert baselines[0] == baselines[1]


def test_logs_and_schedules(build, data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = build()
    model.compile(keras.optimizers.SGD(0.08))
    callbacks = [
        # Nothing is 100 nats better than the epoch before.
        keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=100),
        keras.callbacks.TensorBoard(tmp_path / "board"),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    options = {"epochs": 3, "verbose": 0, "callbacks": callbacks}
    history = model.fit(*data, validation_data=data, **options).history
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    for name, values in history.items():
        if name != "learning_rate":
            assert [float(row[name]) for row in rows] == pytest.approx(values), name
    board = EventAccumulator(str(tmp_path / "board" / "train"))
    board.Reload()
    found = [tf.make_ndarray(each.tensor_proto) for each in board.Tensors("epoch_cross_entropy")]
    np.testing.assert_allclose(found, history["cross_entropy"], rtol=1e-6)


def test_not_a_number_stops_training(build, data):
    images, tokens = data
    model = build()
    annotations = model.annotations(images)
    annotations[4:] = np.nan
    model.compile()
    steps = []
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch)),
    ]
    model.fit(
        annotations, tokens, batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=callbacks
    )
    assert steps == [0, 1, 2]  # the third batch is the first without numbers


# === Files ===


ORDERS = [
    "import sat_keras\nimport keras",
    "import keras\nimport sat_keras",
    pytest.param("import sat_keras\nimport tensorflow as tf\nkeras = tf.keras", marks=SLOW),
    pytest.param("import keras\nfrom sat_keras import Captioner", marks=SLOW),
    pytest.param("from sat_keras import Captioner\nimport keras", marks=SLOW),
    pytest.param("import sat_keras.layers\nimport keras", marks=SLOW),
    pytest.param("import sat_keras.vocabulary\nimport keras", marks=SLOW),
]


@pytest.mark.parametrize("imports", ORDERS)
def test_a_file_loads_after_import_sat_keras_alone(captioner, tmp_path, imports):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64, 3), dtype="uint8")
    captioner.save(tmp_path / "captioner.keras")
    np.save(tmp_path / "images.npy", images)
    code = (
        f"{imports}\n"
        "import json, numpy, sys\n"
        "load_model = keras.models.load_model\n"  # the same, and also in tf.keras
        "model = load_model(sys.argv[1])\n"
        "print(json.dumps([each.text for each in model.caption(numpy.load(sys.argv[2]))]))"
    )
    files = [tmp_path / "captioner.keras", tmp_path / "images.npy"]
    command = [sys.executable, "-c", code, *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == texts_of(captioner, images)


def test_a_file_of_version_0_1_is_refused(captioner, tmp_path):
    captioner.save(tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                content = json.loads(content)
                config = content["config"]
                del config["search"], config["dtype"]
                config |= {"label_smoothing": 0.0, "doubly_stochastic": 1.0, "samples": 1}
                config |= {"train_encoder": False, "train_from": None, "self_critical": False}
                content = json.dumps(content)
            old.writestr(name, content)
    with pytest.raises(InputError, match="a captioner of sat_keras 0.1: train it again") as error:
        keras.saving.load_model(tmp_path / "old.keras")
    assert "\n" not in str(error.value)


def test_config_round_trip_and_clone(build, data):
    images, _ = data
    model = build(attention="hard", scorer="bilinear", search=BEAM, name="mine")
    config = json.dumps(model.get_config())
    copy = Captioner.from_config(json.loads(config))
    assert json.dumps(copy.get_config()) == config
    for other in (copy, keras.models.clone_model(model)):
        other.set_weights(model.get_weights())
        assert texts_of(other, images) == texts_of(model, images)


def test_weights_alone_load_into_another_objective(build, data, tmp_path):
    images, tokens = data
    model = build(attention="hard")
    model.save_weights(tmp_path / "plain.weights.h5")
    model.compile(objective=CrossEntropy())
    model.fit(images, tokens, verbose=0)
    model.save_weights(tmp_path / "trained.weights.h5")
    other = build(attention="hard")
    other.compile()  # REINFORCE, whose baseline these files do not have
    baseline = float(other.objective.baseline.numpy())
    for name in ("plain", "trained"):
        other.load_weights(tmp_path / f"{name}.weights.h5")
        assert float(other.objective.baseline.numpy()) == baseline
    same_weights(other, model, rtol=0)
