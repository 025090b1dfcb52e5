import keras
import numpy as np
import pytest
import tensorflow as tf

from sat_edge import InputError, open_photo, to_pixels
from sat_edge.caption import END, START
from sat_keras import Captioner, Search, losses
from sat_keras import captioner as captioner_module
from sat_keras.trainable import Batch


def adam(**options):
    return keras.optimizers.Adam(1e-2, **options)


# === Batches ===


def test_a_batch_is_what_its_tokens_say():
    x = tf.zeros((2, 4, 3))
    tokens = np.array([[[1, 4, 2, 0], [1, 5, 6, 2]], [[1, 2, 0, 0], [1, 7, 2, 0]]])
    batch = Batch.from_data((x, tokens))
    assert batch.x is x and batch.captions_per_photo == 2
    np.testing.assert_array_equal(batch.previous, [[1, 4, 2], [1, 5, 6], [1, 2, 0], [1, 7, 2]])
    np.testing.assert_array_equal(batch.words, [[4, 2, 0], [5, 6, 2], [2, 0, 0], [7, 2, 0]])
    np.testing.assert_array_equal(batch.mask, [[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0]])
    one = Batch.from_data((x, tokens[:, 0]))
    assert one.captions_per_photo == 1
    np.testing.assert_array_equal(one.words, [[4, 2, 0], [2, 0, 0]])


def test_weights_are_a_photo_s_or_a_word_s():
    x = tf.zeros((2, 4, 3))
    tokens = np.array([[[1, 4, 2, 0], [1, 5, 6, 2]], [[1, 2, 0, 0], [1, 7, 2, 0]]])
    of_photos = Batch.from_data((x, tokens, np.array([0.5, 3.0])))
    wanted = [[0.5, 0.5, 0], [0.5, 0.5, 0.5], [3, 0, 0], [3, 3, 0]]
    np.testing.assert_array_equal(of_photos.mask, wanted)
    weights = np.arange(12.0).reshape(2, 2, 3)
    of_words = Batch.from_data((x, tokens, weights))
    np.testing.assert_array_equal(of_words.mask, [[0, 1, 0], [3, 4, 5], [6, 0, 0], [9, 10, 0]])


def test_captions_are_repeated_one_by_one():
    batch = Batch.from_data((tf.zeros((1, 4, 3)), np.array([[[1, 4, 2], [1, 2, 0]]])))
    thrice = batch.repeat_captions(3)
    assert thrice.captions_per_photo == 6 and thrice.x is batch.x
    np.testing.assert_array_equal(thrice.words, [[4, 2]] * 3 + [[2, 0]] * 3)
    np.testing.assert_array_equal(thrice.mask, [[1, 1]] * 3 + [[1, 0]] * 3)


@pytest.mark.parametrize(
    "data, says",
    [
        ((np.zeros((1, 4, 3)),), "trained on .x, tokens.: tokens are missing"),
        ((np.zeros((1, 4, 3)), np.zeros(4, "int32")), r"tokens of shape \(4,\): name \(N, T"),
        ((np.zeros((4, 3)), np.zeros((4, 5), "int32")), r"x of shape \(4, 3\): name images"),
    ],
)
def test_batches_that_cannot_be(data, says):
    with pytest.raises(InputError, match=says):
        Batch.from_data(data)


def test_a_data_set_of_unknown_rank_is_named(make_fresh, training_batch):
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([training_batch]), output_types=("uint8", "int32")
    )
    model = make_fresh()
    model.compile()
    with pytest.raises(InputError, match="x of shape <unknown>: name images"):
        model.fit(dataset, verbose=0)


# === Training ===


@pytest.mark.slow
def test_fit_learns_by_heart(make_fresh, fit):
    keras.utils.set_random_seed(0)
    model = make_fresh(dropout=0.0)
    model.compile(adam())
    history = fit(model, steps=60, epochs=2)
    assert history["cross_entropy"][1] < 0.7 * history["cross_entropy"][0]
    assert history["cross_entropy"][1] < 1.0


def test_gradients_are_clipped_by_the_optimizer(make_fresh, fit):
    model = make_fresh()
    model.compile(keras.optimizers.SGD(1.0, global_clipnorm=0.1))
    before = [w.numpy() for w in model.trainable_variables]
    history = fit(model, steps=1)
    moved = [w.numpy() - b for w, b in zip(model.trainable_variables, before, strict=True)]
    assert np.sqrt(sum((each**2).sum() for each in moved)) == pytest.approx(0.1, rel=0.01)
    assert history["gradient_norm"][0] > 0.2  # as it was before


@pytest.mark.parametrize("learns", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_frozen_encoder_stays_and_a_trained_one_moves(make_fresh, fit, learns):
    model = make_fresh()
    assert not model.encoder.trainable  # at first
    model.encoder.trainable = learns
    model.compile(adam())
    before = model.encoder.get_weights()
    fit(model)
    after = model.encoder.get_weights()
    moved = [(one != other).any() for one, other in zip(after, before, strict=True)]
    assert all(moved) if learns else not any(moved)


@pytest.mark.slow
def test_a_fine_tuned_part_of_the_encoder_moves_alone(make_fresh, fit):
    model = make_fresh()
    model.encoder.fine_tune("conv_pw_10")
    model.compile(adam())
    network = model.encoder.get_layer("mobilenet")
    before = {each.path: each.numpy() for each in network.weights}
    fit(model)
    moved = {each.path for each in network.weights if (each.numpy() != before[each.path]).any()}
    wanted = {f"{name}/kernel" for name in ("conv_pw_10", "conv_dw_11", "conv_pw_11")}
    assert moved == wanted


def test_annotations_instead_of_images(make_fresh, training_batch):
    model = make_fresh()
    images, tokens = training_batch
    annotations = model.encode(images)
    assert annotations.shape == (4, 4, 128)
    for got, wanted in zip(model(annotations, tokens)[:2], model(images, tokens)[:2], strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_images_and_annotations_may_come_in_turn(make_fresh, training_batch):
    model = make_fresh()
    model.compile()
    images, tokens = training_batch
    images = images.astype("float32")
    annotations = model.annotations(images)
    for way in (model.caption, model.sample, lambda x: model.caption(x, beam_width=2)):
        found = [[each.text for each in way(x)] for x in (images, annotations, images)]
        assert found[0] == found[1] == found[2]
    found = [model.predict(x, verbose=0) for x in (images, annotations, images)]
    np.testing.assert_array_equal(found[0], found[1])
    found = [
        model.evaluate(x, y, return_dict=True, verbose=0)
        for x in (images, annotations)
        for y in (tokens, tokens[:, None])
    ]
    assert all(each == pytest.approx(found[0], rel=1e-5) for each in found[1:])


def test_several_captions_a_photo_equal_the_photo_repeated(make_fresh, training_batch):
    model = make_fresh()
    images, tokens = training_batch
    logits, *_ = model(images[:2], tokens)
    wanted, *_ = model(images[[0, 0, 1, 1]], tokens)
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    model.compile()
    found = model.evaluate(images[:2], tokens.reshape(2, 2, -1), return_dict=True, verbose=0)
    wanted = model.evaluate(images[[0, 0, 1, 1]], tokens, return_dict=True, verbose=0)
    assert found == pytest.approx(wanted, rel=1e-5)


# === Captioning ===


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


# === Attention to captions that are given ===


@pytest.mark.parametrize("attention", ["soft", "none"])
def test_attending_to_its_own_captions_is_what_it_looked_at(make_attentive, photos, attention):
    captioner = make_attentive(attention=attention)
    captions = captioner.caption(photos)
    ended = [each.tokens[-1] == END for each in captions]
    assert any(ended) and not all(ended)
    found = captioner.attend(photos, [[each.words] for each in captions])
    for (weights,), wanted in zip(found, captions, strict=True):
        np.testing.assert_allclose(weights, wanted.attention, atol=1e-6)


def test_attention_to_several_captions_of_a_photo(make_attentive, photos, monkeypatch):
    """By hand: each through the decoder alone; more of them than go at once, or none."""
    captioner = make_attentive()
    said = ["A red square on grey .", "red", "The big square is a square .", "grey is grey"]
    captions = [said[: i % 5] for i in range(len(photos))]
    monkeypatch.setattr(captioner_module, "_BATCH", 3)
    encoded, encode = [], captioner._compiled_encode
    monkeypatch.setattr(
        captioner, "_compiled_encode", lambda x: (encoded.append(len(x)), encode(x))[1]
    )
    found = captioner.attend(photos, captions)
    assert encoded == [3, 3, 2]
    assert [len(each) for each in found] == [i % 5 for i in range(len(photos))]
    annotations = captioner.annotations(photos)
    for row, (texts, of_photo) in enumerate(zip(captions, found, strict=True)):
        for text, weights in zip(texts, of_photo, strict=True):
            ids = captioner.vocabulary.encode(text, 7)
            _, alphas, _ = captioner(annotations[row : row + 1], np.array([ids[:-1]]))
            assert weights.shape == (len(ids) - 1, 2, 4) and weights.dtype == "float32"
            np.testing.assert_allclose(weights.reshape(-1, 8), alphas[0], atol=1e-6)
            np.testing.assert_allclose(weights.sum(axis=(1, 2)), 1, atol=1e-5)
    # It matters what is said.
    assert np.abs(found[4][0][2] - found[4][2][2]).max() > 0.05
    again = captioner.attend(annotations, captions)
    np.testing.assert_allclose(again[4][3], found[4][3], atol=1e-6)


def test_words_that_it_does_not_know_and_words_behind_the_longest_caption(make_attentive, photos):
    captioner = make_attentive()
    ways = [
        "red zebra is",
        ["red", "zebra", "is"],
        ("red", "<unk>", "is"),
        "red square is",
        "a " * 9,
    ]
    (found,) = captioner.attend(photos[:1], [ways])
    assert [len(each) for each in found] == [4, 4, 4, 4, captioner.max_length]
    for each in found[1:3]:
        np.testing.assert_array_equal(each, found[0])
    # Attention follows the state, which has read all words but the last one.
    np.testing.assert_allclose(found[3][:3], found[0][:3], atol=1e-6)
    assert np.abs(found[3][3] - found[0][3]).max() > 0.05


def test_captions_that_cannot_be_attended_to(captioner, photos):
    for captions in ([["red"]], ["red", "grey"]):
        with pytest.raises(InputError, match="name a list of captions for each of 2 photos"):
            captioner.attend(photos[:2], captions)


# === Beam search ===


def test_a_beam_s_log_prob_is_its_teacher_forced_one(make_captioner, photos):
    captioner = make_captioner()
    kernel = captioner.decoder.deep_output.project_word.kernel
    kernel.assign(kernel * 0.3)
    found = captioner.beam_search(photos, beam_width=4, length_penalty=0.5, n_best=3)
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
            return captioner.beam(image, Search(beam_width=3, length_penalty=0.7))

    tf.saved_model.save(Module(), tmp_path / "saved")
    pixels = np.stack([to_pixels(open_photo(each), (32, 64)) for each in photos])
    loaded = tf.saved_model.load(tmp_path / "saved")
    tokens, *_ = loaded.beam(pixels.astype("float32"))
    wanted = captioner.caption(photos, beam_width=3, length_penalty=0.7)
    for row, caption in zip(tokens.numpy()[:, 0], wanted, strict=True):
        np.testing.assert_array_equal(row[: len(caption.tokens)], caption.tokens)


def test_its_own_search_is_how_it_captions(make_captioner, photos):
    captioner = make_captioner()
    kernel = captioner.decoder.deep_output.project_word.kernel
    kernel.assign(kernel * 0.3)  # so that a search finds better captions
    assert captioner.search == Search()
    greedy = captioner.caption(photos)
    beams = captioner.beam_search(photos, beam_width=3, length_penalty=0.5, n_best=2)
    captioner.search = Search(beam_width=3, length_penalty=0.5, n_best=2)
    texts = [[each.text for each in found] for found in captioner.beam_search(photos)]
    assert texts == [[each.text for each in found] for found in beams]
    assert [each.text for each in captioner.caption(photos)] == [each[0] for each in texts]
    assert [each[0] for each in texts] != [each.text for each in greedy]
    # A named field replaces that one alone.
    alone = [each.text for each in captioner.caption(photos, beam_width=2)]
    wanted = captioner.beam_search(photos, beam_width=2, length_penalty=0.5)
    assert alone == [each[0].text for each in wanted]
    one = captioner.caption(photos, beam_width=1)
    assert [each.text for each in one] == [each.text for each in greedy]


# === Bad input ===


@pytest.mark.parametrize("option", ["attention", "scorer", "inject"])
def test_unknown_choices(make_fresh, option):
    with pytest.raises(InputError, match=f"unknown {option} 'magic': choose one of"):
        make_fresh(**{option: "magic"})


@pytest.mark.parametrize("name", ["image_size", "grid", "regions"])
def test_an_encoder_says_where_its_annotations_lie(vocabulary, name):
    image = keras.Input((8, 8, 3))
    encoder = keras.Model(image, keras.layers.Reshape((64, 3))(image))
    encoder.image_size, encoder.grid, encoder.regions = (8, 8), (8, 8), np.zeros((64, 4))
    delattr(encoder, name)
    with pytest.raises(InputError, match=f"the encoder has no {name}: set encoder.{name}"):
        Captioner(encoder, vocabulary)


def test_dropout_is_a_share(make_fresh):
    with pytest.raises(InputError, match="dropout is 1.5: it is a share"):
        make_fresh(dropout=1.5)


@pytest.mark.parametrize(
    "search, says",
    [
        ({"beam_width": 0}, "beam_width is 0: name 1 or more"),
        ({"beam_width": 2, "n_best": 3}, "n_best is 3: name 1 to the beam_width, which is 2"),
        ({"length_penalty": -1.0}, "length_penalty is -1.0: name 0 or more"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1: name 0 .off. or more words"),
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
