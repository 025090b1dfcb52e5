import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_edge import InputError, open_photo, to_pixels
from sat_edge.caption import END, START
from sat_keras import Captioner, encoders, losses
from sat_keras import captioner as captioner_module


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


@pytest.mark.slow
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
    for one, other in zip(captioner.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    before, after = captioner.caption(photos), loaded.caption(photos)
    assert len({each.text for each in before}) > 1
    for a, b in zip(before, after, strict=True):
        assert a.text == b.text
        # The last bit is the machine's: a sum's order follows where its numbers lie in memory.
        assert a.log_prob == pytest.approx(b.log_prob, rel=1e-5)
        np.testing.assert_allclose(a.attention, b.attention, atol=1e-5)


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


def test_many_photos_go_batch_by_batch(captioner, photos, monkeypatch):
    ways = [
        captioner.caption,
        lambda photos: captioner.caption(photos, beam_width=3),
        lambda photos: captioner.sample(photos, top_k=1),
    ]
    wanted = [[each.text for each in way(photos)] for way in ways]
    monkeypatch.setattr(captioner_module, "_BATCH", 3)  # eight photos: three, three and two
    assert [[each.text for each in way(photos)] for way in ways] == wanted


def test_unreadable_photo_is_named(captioner, tmp_path):
    with pytest.raises(InputError, match="nothing.jpg: no such file"):
        captioner.caption([tmp_path / "nothing.jpg"])


@pytest.mark.parametrize("option", ["attention", "scorer", "inject"])
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


@pytest.mark.parametrize(
    "policy, options",
    [
        ("mixed_bfloat16", {"attention": "hard"}),
        pytest.param("mixed_float16", {}, marks=pytest.mark.slow),
        pytest.param("mixed_float16", {"attention": "none"}, marks=pytest.mark.slow),
    ],
)
def test_mixed_precision(vocabulary, batch, policy, options):
    keras.mixed_precision.set_global_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        model = build(vocabulary, dropout=0.0, **options)
        model.compile(adam(global_clipnorm=5.0))
        history = model.fit(dataset(batch, 60), epochs=2, verbose=0).history
        assert history["cross_entropy"][1] < 0.8 * history["cross_entropy"][0]
        assert np.isfinite(history["gradient_norm"]).all()
        found = model.caption(batch[0])[0]
        assert found.attention.dtype == np.float32
        np.testing.assert_allclose(found.attention.sum((1, 2)), 1, atol=1e-5)
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.slow
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


# === Hard attention ===


def test_hard_attention_learns_by_heart_and_reports(vocabulary, batch):
    keras.utils.set_random_seed(0)
    model = build(vocabulary, attention="hard", dropout=0.0, doubly_stochastic=0.0, samples=2)
    model.compile(adam(global_clipnorm=5.0))
    history = model.fit(
        dataset(batch, 60), validation_data=dataset(batch, 1), epochs=2, verbose=0
    ).history
    assert history["val_cross_entropy"][1] < 1.0
    assert history["reward"][1] > history["reward"][0]
    assert history["baseline"][0] < history["baseline"][1] < 0
    assert 0 < history["attention_entropy"][1] <= np.log(4)
    assert "val_reward" not in history


@pytest.mark.slow
def test_baseline_is_saved(vocabulary, batch, tmp_path):
    model = build(vocabulary, attention="hard")
    model.compile(adam())
    model.fit(dataset(batch), verbose=0)
    model.save(tmp_path / "hard.keras")
    loaded = keras.saving.load_model(tmp_path / "hard.keras")
    assert float(loaded.baseline.numpy()) == float(model.baseline.numpy()) != -np.log(18)
    model.fit(dataset(batch), verbose=0)
    loaded.fit(dataset(batch), verbose=0)  # with the same samples
    for got, wanted in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_where_hard_attention_looks_when_it_captions(make_captioner, photos):
    captioner = make_captioner(attention="hard")
    kernel = captioner.decoder.cell.scorer.score.kernel
    kernel.assign(kernel * 0.3)  # so that no location has it all
    expected = captioner.sample(photos, top_k=1)
    for one, other in zip(expected, captioner.caption(photos), strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
    probable = captioner.sample(photos, top_k=1, locations="most_probable")
    sampled = [captioner.sample(photos, top_k=1, locations="sampled", seed=i) for i in (1, 1, 2)]
    logs = [[each.log_prob for each in found] for found in (expected, probable, *sampled)]
    assert logs[2] == logs[3] != logs[4]
    assert len({tuple(each) for each in logs}) == 4
    # By hand: the context is the annotation with the highest weight, alone.
    pixels = to_pixels(open_photo(photos[0]), (32, 64))[None].astype("float32")
    memory, state = captioner.decoder.start(captioner.encode(pixels))
    token, log_prob = START, 0.0
    for wanted in probable[0].tokens:
        noise = (np.zeros((1, 8), "float32"), np.ones((1, 1), "float32"))
        logits, state, _ = captioner.decoder.step(np.array([token]), state, memory, noise)
        log_prob += float(tf.nn.log_softmax(logits)[0, wanted])
        token = wanted
    assert probable[0].log_prob == pytest.approx(log_prob, abs=1e-4)


# === Beam search ===


def test_a_beam_s_log_prob_is_its_teacher_forced_one(make_captioner, photos):
    captioner = make_captioner()
    kernel = captioner.decoder.deep_output.project_word.kernel
    kernel.assign(kernel * 0.3)
    found = captioner.beam_search(photos, 4, length_penalty=0.5, n_best=3)
    pixels = np.stack([to_pixels(open_photo(each), (32, 64)) for each in photos])
    greedy = captioner.caption(photos)
    better = 0
    for image, best, first in zip(pixels, found, greedy, strict=True):
        assert len(best) == 3
        assert [each.score for each in best] == sorted((e.score for e in best), reverse=True)
        better += best[0].text != first.text
        for caption in best:
            words = caption.tokens[None]  # (1, N)
            previous = np.concatenate([[[START]], words[:, :-1]], axis=1)
            logits, alphas, _ = captioner(image[None].astype("float32"), previous)
            nll = losses.cross_entropy(words, logits, np.ones(words.shape, "float32"))
            assert caption.log_prob == pytest.approx(-float(nll.numpy().sum()), abs=1e-3)
            assert caption.score == pytest.approx(caption.log_prob / words.size**0.5, abs=1e-4)
            attention = caption.attention.reshape(words.size, -1)
            np.testing.assert_allclose(attention, alphas[0], atol=1e-4)
    assert better > 0


def test_beam_search_in_a_saved_model(captioner, photos, tmp_path):
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.variables_ = [each.value for each in captioner.variables]

        @tf.function(input_signature=[tf.TensorSpec((None, 32, 64, 3))])
        def beam(self, image):
            return captioner.beam(image, width=3, length_penalty=0.7)

    tf.saved_model.save(Module(), tmp_path / "saved")
    pixels = np.stack([to_pixels(open_photo(each), (32, 64)) for each in photos])
    loaded = tf.saved_model.load(tmp_path / "saved")
    tokens, *_ = loaded.beam(pixels.astype("float32"))
    wanted = captioner.caption(photos, beam_width=3, length_penalty=0.7)
    for row, caption in zip(tokens.numpy()[:, 0], wanted, strict=True):
        np.testing.assert_array_equal(row[: len(caption.tokens)], caption.tokens)


# === Other ways to train ===


@pytest.mark.slow
def test_without_the_previous_word_it_trains_too(vocabulary, batch):
    model = build(vocabulary, attention="none", inject="only")
    model.compile(adam())
    history = model.fit(dataset(batch, 20), epochs=2, verbose=0).history
    assert history["cross_entropy"][1] < history["cross_entropy"][0]


@pytest.mark.parametrize("inject", ["first", "every"])
def test_baselines_learn_by_heart(vocabulary, batch, inject):
    keras.utils.set_random_seed(0)
    model = build(vocabulary, attention="none", inject=inject, dropout=0.0)
    model.compile(adam(global_clipnorm=5.0))
    history = model.fit(dataset(batch, 60), epochs=2, verbose=0).history
    assert history["cross_entropy"][1] < 1.0
    np.testing.assert_allclose(model.caption(batch[0])[0].attention, 1 / 4)


def test_scheduled_sampling_trains_on_its_own_words(vocabulary, batch, monkeypatch):
    model = build(vocabulary, scheduled_sampling=1.0, dropout=0.0)
    model.compile(adam())
    images, tokens, _ = batch
    mixed = model._mix_in_own_words(tf.constant(images), tokens[:, :-1]).numpy()
    assert (mixed[:, 0] == START).all()
    assert (mixed[:, 1:] != tokens[:, 1:-1]).mean() > 0.5
    # The loss is of the caption's words behind the model's.
    monkeypatch.setattr(model, "_mix_in_own_words", lambda x, previous: tf.constant(mixed))
    logits, *_ = model(images, mixed)
    nll = losses.cross_entropy(tokens[:, 1:], logits, batch[2]).numpy().sum() / batch[2].sum()
    found = model.train_step(tuple(tf.constant(each) for each in batch))["cross_entropy"]
    assert float(found) == pytest.approx(nll, rel=1e-4)


def test_labels_are_smoothed_in_training_alone(vocabulary, batch):
    x, tokens, mask = (tf.constant(each) for each in batch)
    sizes = {"dropout": 0.0, "doubly_stochastic": 0.0}
    plain, smooth = (build(vocabulary, **sizes, label_smoothing=epsilon) for epsilon in (0.0, 0.2))
    smooth.set_weights(plain.get_weights())
    found = [
        float(model._loss(x, tokens[:, :-1], tokens[:, 1:], mask, training))
        for model, training in ((plain, True), (smooth, True), (smooth, False))
    ]
    logits = plain(x, tokens[:, :-1])[0].numpy()
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    target = 0.8 * np.eye(logits.shape[-1])[batch[1][:, 1:]] + 0.2 / logits.shape[-1]
    wanted = -(batch[2] * (target * log_p).sum(-1)).sum(-1).mean()
    assert found[1] == pytest.approx(wanted, rel=1e-5)
    assert found[0] == found[2] != pytest.approx(found[1], rel=1e-4)


def self_critical(vocabulary, batch, **options):
    from sat_keras.metrics import CaptionReward

    model = build(vocabulary, self_critical=True, **options)
    words = [row[row != 0].tolist() for row in batch[1][:, 1:]]
    model.reward = CaptionReward([words[:2], words[1:3], [[9, 9], [8, 2]]])
    return model


def test_self_critical_rewards(vocabulary, batch):
    model = self_critical(vocabulary, batch)
    references = np.array([[4, 5, 2, 0], [4, 6, 7, 2], [8, 9, 2, 0], [5, 5, 5, 2]])
    drawn = np.array([[4, 5, 2], [4, 4, 4], [8, 9, 2], [6, 2, 0]])
    own = np.array([[4, 6, 2, 0], [8, 9, 2, 0]])
    rewards, baselines = model._rewards(drawn, own, references)
    of_photos = [[[4, 5, 2], [4, 6, 7, 2]], [[8, 9, 2], [5, 5, 5, 2]]]
    wanted = model.reward.score(
        [[4, 5, 2], [4, 4, 4], [8, 9, 2], [6, 2]],
        [of_photos[0], of_photos[0], of_photos[1], of_photos[1]],
    )
    np.testing.assert_allclose(rewards, wanted, rtol=1e-6)
    np.testing.assert_allclose(
        baselines, model.reward.score([[4, 6, 2], [8, 9, 2]], of_photos), rtol=1e-6
    )


def test_self_critical_gradient(vocabulary, batch):
    """What beats the greedy caption becomes more probable, what does not less."""
    model = self_critical(vocabulary, batch, dropout=0.5, temperature=0.5)
    model.compile(keras.optimizers.SGD(0.02))
    x = tf.constant(batch[0])
    drawn = tf.constant([[4, 5, 2, 0], [6, 2, 0, 0], [7, 8, 4, 2], [5, 2, 0, 0]])

    def log_p():
        mask = (drawn.numpy() != 0).astype("float32")
        previous = np.concatenate([np.full((4, 1), START), drawn[:, :-1]], axis=1)
        logits, *_ = model(x, previous)
        logits = logits.numpy() / 0.5
        logits[..., [0, 1, 3]] = -np.inf  # never drawn
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        words = np.take_along_axis(log_p, drawn.numpy()[..., None], -1)[..., 0]
        return np.where(mask, words, 0.0).sum(1)  # (B,)

    advantages = np.array([1.0, -1.0, 0.0, 2.0], "float32")
    before = log_p()
    with tf.GradientTape() as tape:
        loss = model._self_critical_loss(x, drawn, tf.constant(advantages))
    assert float(loss) == pytest.approx(-(advantages * before).mean(), rel=1e-4)
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    moved = log_p() - before
    assert (advantages * moved).sum() > 0.01
    assert moved[3] > moved[1]


def test_captions_are_drawn_at_the_temperature(vocabulary, batch):
    """Near zero every drawn caption is the greedy one, and none has an advantage."""
    images, tokens, _ = batch
    x = tf.constant(images[:2])
    cold, warm = (
        self_critical(vocabulary, batch, temperature=each)._draw_captions(x, tf.constant(tokens))
        for each in (1e-4, 1.0)
    )
    np.testing.assert_array_equal(cold[0][0], cold[0][1])
    np.testing.assert_array_equal(cold[1], 0)
    assert len({tuple(row) for row in warm[0].numpy()}) == len(tokens)


@pytest.mark.slow
def test_self_critical_training_raises_the_reward(vocabulary, batch):
    keras.utils.set_random_seed(0)
    start = build(vocabulary, dropout=0.0)
    start.compile(adam())
    start.fit(dataset(batch, 10), verbose=0)
    model = self_critical(vocabulary, batch, dropout=0.0)
    model.set_weights(start.get_weights())
    model.compile(adam(global_clipnorm=5.0))
    images, tokens, mask = batch
    two_each = (images[:2], tokens, mask)
    history = model.fit(
        dataset(two_each, 30), validation_data=dataset(two_each, 1), epochs=3, verbose=0
    ).history
    assert history["reward"][2] > history["reward"][0] + 0.5
    assert "cross_entropy" not in history and "val_cross_entropy" in history


def test_self_critical_training_needs_its_reward(vocabulary, batch):
    model = build(vocabulary, self_critical=True)
    model.compile(adam())
    with pytest.raises(InputError, match="set captioner.reward"):
        model.train_step(tuple(tf.constant(each) for each in batch))


# === Bad input ===


@pytest.mark.parametrize(
    "options, says",
    [
        ({"dropout": 1.5}, "dropout is 1.5: it is a share"),
        ({"expectation": -0.1}, "expectation is -0.1"),
        ({"scheduled_sampling": 2.0}, "scheduled_sampling is 2.0"),
        ({"samples": 0}, "samples is 0: name 1 or more"),
    ],
)
def test_settings_that_cannot_be(vocabulary, options, says):
    with pytest.raises(InputError, match=says):
        build(vocabulary, **options)


@pytest.mark.parametrize(
    "search, says",
    [
        ({"beam_width": 0}, "beam width 0"),
        ({"beam_width": 2, "n_best": 3}, "beam width 2, 3 best"),
        ({"length_penalty": -1.0}, "length penalty -1.0"),
        ({"no_repeat_ngram": -1}, "n-grams of -1 words"),
    ],
)
def test_searches_that_cannot_be(captioner, photos, search, says):
    with pytest.raises(InputError, match=says):
        captioner.beam_search(photos, **search)


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"locations": "sampled"}]
)
def test_samplings_that_cannot_be(captioner, photos, options):
    with pytest.raises(InputError, match="name one above 0|attention 'soft' takes no location"):
        captioner.sample(photos, **options)


def test_photos_that_are_none(captioner):
    with pytest.raises(InputError, match="name a list of photos"):
        captioner.caption("photo.jpg")
    with pytest.raises(InputError, match=r"an array of \(32, 64, 3\) is neither photos"):
        captioner.caption(np.zeros((32, 64, 3), "uint8"))
    with pytest.raises(InputError, match="an array of float64 .* is no photo"):
        captioner.caption([np.zeros((32, 64, 3))])


def test_annotations_cannot_train_the_encoder(vocabulary, batch):
    model = build(vocabulary, train_encoder=True)
    model.compile(adam())
    with pytest.raises(InputError, match="train_encoder needs batches of images"):
        model.train_step((model.encode(batch[0]), *(tf.constant(each) for each in batch[1:])))
