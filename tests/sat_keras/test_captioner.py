import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_edge import InputError, open_photo, to_pixels
from sat_edge.caption import END, START
from sat_keras import Captioner, encoders, losses


def build(vocabulary, **options):
    encoder = encoders.mobilenet(alpha=0.25, image_size=(32, 32), layer="conv_pw_11_relu")
    options = {"units": 16, "embedding_size": 12, "attention_size": 8, **options}
    return Captioner(encoder, vocabulary, **options)


@pytest.fixture(scope="module")
def batch(vocabulary):
    rng = np.random.default_rng(0)
    ids = [vocabulary.encode(text) for text in ("a red square", "the square is red")]
    tokens = np.zeros((4, 6), "int32")
    for row in range(4):
        tokens[row, : len(ids[row % 2])] = ids[row % 2]
    images = rng.integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    return images, tokens, (tokens[:, 1:] != 0).astype("float32")


def dataset(batch, count=3):
    return tf.data.Dataset.from_tensors(batch).repeat(count)


def adam(**options):
    return keras.optimizers.Adam(1e-2, **options)


def test_loss_is_the_paper_s(vocabulary, batch):
    model = build(vocabulary, doubly_stochastic=0.7)
    model.compile(adam())
    images, tokens, mask = batch
    result = model.evaluate(dataset(batch, 1), return_dict=True, verbose=0)
    logits, alphas = (np.asarray(x) for x in model(images, tokens[:, :-1])[:2])
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nll = -np.take_along_axis(log_p, tokens[:, 1:, None], 2)[..., 0] * mask
    coverage = ((1 - (alphas * mask[..., None]).sum(1)) ** 2).sum(-1)
    assert result["loss"] == pytest.approx((nll.sum(1) + 0.7 * coverage).mean(), rel=1e-4)
    assert result["cross_entropy"] == pytest.approx(nll.sum() / mask.sum(), rel=1e-4)
    correct = (logits.argmax(-1) == tokens[:, 1:]) * mask
    assert result["accuracy"] == pytest.approx(correct.sum() / mask.sum())


def test_fit_learns_by_heart(vocabulary, batch):
    keras.utils.set_random_seed(0)
    model = build(vocabulary, dropout=0.0)
    model.compile(adam())
    history = model.fit(dataset(batch, 60), epochs=2, verbose=0).history
    assert history["cross_entropy"][1] < 0.7 * history["cross_entropy"][0]
    assert history["cross_entropy"][1] < 1.0


def test_gradients_are_clipped_by_the_optimizer(vocabulary, batch):
    model = build(vocabulary)
    model.compile(keras.optimizers.SGD(1.0, global_clipnorm=0.1))
    before = [w.numpy() for w in model.trainable_variables]
    history = model.fit(dataset(batch, 1), verbose=0).history
    moved = [w.numpy() - b for w, b in zip(model.trainable_variables, before, strict=True)]
    assert np.sqrt(sum((each**2).sum() for each in moved)) == pytest.approx(0.1, rel=0.01)
    assert history["gradient_norm"][0] > 0.2  # as it was before


def test_frozen_encoder_stays_and_a_trained_one_moves(vocabulary, batch):
    for train_encoder in (False, True):
        model = build(vocabulary, train_encoder=train_encoder)
        model.compile(adam())
        before = [w.copy() for w in model.encoder.get_weights()]
        model.fit(dataset(batch), verbose=0)
        moved = [(w != b).any() for w, b in zip(model.encoder.get_weights(), before, strict=True)]
        assert any(moved) == train_encoder


def test_annotations_instead_of_images(vocabulary, batch):
    model = build(vocabulary)
    images, tokens, _ = batch
    annotations = model.encode(images)
    assert annotations.shape == (4, 4, 128)
    for got, wanted in zip(model(annotations, tokens)[:2], model(images, tokens)[:2], strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_several_captions_a_photo_equal_the_photo_repeated(vocabulary, batch):
    model = build(vocabulary)
    images, tokens, _ = batch
    logits, *_ = model(images[:2], tokens)
    wanted, *_ = model(images[[0, 0, 1, 1]], tokens)
    np.testing.assert_allclose(logits, wanted, atol=1e-5)


def test_save_and_load_give_the_same_captions(captioner, photos, tmp_path):
    captioner.save(tmp_path / "captioner.keras")
    loaded = keras.saving.load_model(tmp_path / "captioner.keras")
    before, after = captioner.caption(photos), loaded.caption(photos)
    assert len({each.text for each in before}) > 1
    for a, b in zip(before, after, strict=True):
        assert a.text == b.text and a.log_prob == b.log_prob
        np.testing.assert_array_equal(a.attention, b.attention)


def test_caption_s_log_prob_is_its_teacher_forced_one(captioner, photos):
    pixels = np.stack([to_pixels(open_photo(each), (32, 64)) for each in photos])
    for image, found in zip(pixels, captioner.caption(photos), strict=True):
        words = found.tokens[None]  # (1, N)
        previous = np.concatenate([[[START]], words[:, :-1]], axis=1)
        logits, alphas, _ = captioner(image[None].astype("float32"), previous)
        nll = losses.cross_entropy(words, logits, np.ones(words.shape, "float32"))
        assert found.log_prob == pytest.approx(-float(nll[0].numpy().sum()), abs=1e-4)
        np.testing.assert_allclose(
            found.attention.reshape(len(found.tokens), -1), alphas[0], atol=1e-5
        )
        assert found.words == tuple(captioner.vocabulary[i] for i in found.tokens if i != END)


def test_batched_equals_one_at_a_time(captioner, photos):
    for alone, together in zip(photos, captioner.caption(photos), strict=True):
        assert captioner.caption([alone])[0].text == together.text


def test_unreadable_photo_is_named(captioner, tmp_path):
    with pytest.raises(InputError, match="nothing.jpg: no such file"):
        captioner.caption([tmp_path / "nothing.jpg"])


@pytest.mark.parametrize("option", ["attention", "scorer"])
def test_unknown_choices(vocabulary, option):
    with pytest.raises(InputError, match=f"unknown {option} 'magic': choose one of"):
        build(vocabulary, **{option: "magic"})


def test_the_usual_callbacks_work(vocabulary, batch, tmp_path):
    model = build(vocabulary)
    model.compile(adam())
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "val_cross_entropy", mode="min"),
        keras.callbacks.EarlyStopping("val_loss", patience=1),
        keras.callbacks.ReduceLROnPlateau("val_loss"),
        keras.callbacks.TensorBoard(tmp_path / "board"),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    model.fit(dataset(batch), validation_data=dataset(batch, 1), callbacks=callbacks, verbose=0)
    assert (tmp_path / "log.csv").read_text().startswith("epoch,accuracy,attention_entropy,")
    assert list((tmp_path / "board" / "train").iterdir())
    loaded = keras.saving.load_model(tmp_path / "best.keras")
    for got, wanted in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(vocabulary, batch, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        model = build(vocabulary, dropout=0.0)
        model.compile(adam(global_clipnorm=5.0))
        history = model.fit(dataset(batch, 60), epochs=2, verbose=0).history
        assert history["cross_entropy"][1] < 0.8 * history["cross_entropy"][0]
        assert np.isfinite(history["gradient_norm"]).all()
        found = model.caption(batch[0])[0]
        assert found.attention.dtype == np.float32
        np.testing.assert_allclose(found.attention.sum((1, 2)), 1, atol=1e-5)
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_random_state_is_saved(vocabulary, batch, tmp_path):
    """Training goes on after loading as if it had never stopped: dropout and all."""
    model = build(vocabulary, train_encoder=True)
    model.compile(adam())
    model.fit(dataset(batch), verbose=0)
    model.save(tmp_path / "stopped.keras")
    loaded = keras.saving.load_model(tmp_path / "stopped.keras")
    model.fit(dataset(batch), verbose=0)
    loaded.fit(dataset(batch), verbose=0)
    for got, wanted in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)
