"""Callbacks alone: Ctrl-C between steps, validation's greedy captions, what an epoch leaves."""

import os
import signal
import threading
import time

import keras
import numpy as np
import pytest

from sat_edge.search import Search
from sat_keras.metrics import cider
from sat_keras.runs import callbacks
from sat_keras.runs.callbacks import EpochWriter, Interrupt, ValidationCider
from sat_keras.runs.folder import load_keras, read_log

# === Ctrl-C ===


@pytest.fixture
def python_s_own_handler(monkeypatch):
    monkeypatch.setattr(callbacks, "_FILLED", 0.01)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_end"])
def test_ctrl_c_waits_for_the_end_of_a_step(python_s_own_handler, hook):
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        getattr(interrupt, hook)(0)
        press()
        done.append("the step's rest")
        getattr(interrupt, hook)(1)
        done.append("another step")
    assert done == ["the step's rest"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_stops_at_once(python_s_own_handler):
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupt():
        press()
        done.append("first")
        press()
        time.sleep(1)
        done.append("second")
    assert done == ["first"]


def test_without_ctrl_c_the_handler_is_given_back(python_s_own_handler):
    with Interrupt() as interrupt:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        interrupt.on_train_batch_end(0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_stays(python_s_own_handler):
    def own(number, frame):
        pass

    signal.signal(signal.SIGINT, own)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) is own
    assert signal.getsignal(signal.SIGINT) is own


def test_training_in_another_thread_leaves_signals_alone(python_s_own_handler):
    errors = []

    def run():
        try:
            with Interrupt() as interrupt:
                interrupt.on_train_batch_end(0)
        except ValueError as error:  # signals can be set in the main thread alone
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == []


# === Validation ===


class FakeCache:
    """Annotations that differ from photo to photo, with a caption each."""

    def __init__(self, rows, captions):
        self.rows = rows
        self.records = [{"captions": [caption]} for caption in captions]

    def __len__(self):
        return len(self.rows)

    def read(self, rows):
        return self.rows[list(rows)]


SEARCH = Search(beam_width=4, length_penalty=1.0, no_repeat_ngram=1, n_best=2)


def test_validation_is_of_greedy_captions_whatever_the_captioner_s_search(make_captioner):
    captioner = make_captioner(search=SEARCH)
    shape = captioner.encoder.output_shape[1:]
    rows = np.random.default_rng(0).normal(0, 3, (7, *shape)).astype("float16")
    greedy, *_ = captioner.greedy(rows.astype("float32"))
    words = [[captioner.vocabulary[token] for token in row if token > 2] for row in greedy.numpy()]
    cache = FakeCache(rows, [" ".join(each) for each in words])
    callback = ValidationCider(cache, batch_size=3)  # the last batch is smaller
    callback.set_model(captioner)
    logs = {"loss": 1.0}
    callback.on_epoch_end(0, logs)

    # The references are the greedy captions themselves.
    references = [[each] for each in words]
    perfect = cider(words, references)["CIDEr"]
    by_beam = [each.words for each in captioner.caption(rows.astype("float32"))]
    assert perfect > 1.1 * cider(by_beam, references)["CIDEr"]
    assert logs["val_cider"] == pytest.approx(perfect, abs=1e-9)


# === An epoch's files ===


def test_the_best_epoch_is_kept_in_float32_without_an_optimizer(make_captioner, tmp_path):
    captioner = make_captioner(dtype="mixed_bfloat16", search=SEARCH)
    captioner.compile(keras.optimizers.Adam())
    captioner.optimizer.build(captioner.trainable_variables)
    history = []
    ends = iter([False, False, True])
    writer = EpochWriter(tmp_path, lambda log: next(ends), history, "shapes/1.0.0")
    writer.set_model(captioner)
    kept = []
    for epoch, score in enumerate([0.2, 0.3, 0.1]):
        for weight in captioner.decoder.trainable_weights:
            weight.assign(weight + 1)
        writer.on_epoch_end(epoch, {"loss": np.float32(2), "val_cider": score})
        kept.append(captioner.get_weights())
        assert captioner.stop_training == (epoch == 2)
    assert read_log(tmp_path) == history
    assert [each["epoch"] for each in history] == [1, 2, 3]

    best = load_keras(tmp_path / "captioner.keras", "")
    assert best.dtype_policy.name == "float32" and not best.compiled
    assert best.search == SEARCH
    for one, other in zip(best.get_weights(), kept[1], strict=True):
        np.testing.assert_array_equal(one, other)
    last = load_keras(tmp_path / "checkpoint.keras", "")
    assert last.dtype_policy.name == "mixed_bfloat16" and last.compiled
    for one, other in zip(last.get_weights(), kept[2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert {each.name for each in tmp_path.iterdir()} == {
        "captioner.keras",
        "checkpoint.keras",
        "log.csv",
    }
