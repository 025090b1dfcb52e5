"""What happens between the steps and the epochs of a run."""

import signal
import threading
import time

import keras

from sat_keras.captioner import Captioner
from sat_keras.files import atomic_output
from sat_keras.metrics import cider
from sat_keras.runs.folder import write_checkpoint, write_log
from sat_keras.runs.paths import CAPTIONER
from sat_keras.tokenizer import tokenize

_FILLED = 2  # seconds in which the next batches are surely loaded


class Interrupt(keras.callbacks.Callback):
    """Raises Ctrl-C between two steps, when the threads of the data set are idle; a second Ctrl-C
    is raised at once.

    At the end of an epoch TensorFlow stops these threads while it holds Python's lock. It would
    wait for ever for a thread that is about to run Python. Left alone, the threads fill their few
    batches and rest.
    """

    def __enter__(self):
        self.pressed = False
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_):
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, number, frame):
        self.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, batch, logs=None):
        if self.pressed:
            time.sleep(_FILLED)
            raise KeyboardInterrupt

    on_test_batch_end = on_train_batch_end


class ValidationCider(keras.callbacks.Callback):
    """Adds `val_cider`, of greedy captions, to the logs of each epoch."""

    def __init__(self, cache, batch_size=64):
        super().__init__()
        self.cache = cache
        self.batch_size = batch_size
        self.references = [
            [tokenize(caption) for caption in each["captions"]] for each in cache.records
        ]

    def on_epoch_end(self, epoch, logs=None):
        captions = []
        for start in range(0, len(self.cache), self.batch_size):
            rows = range(start, min(start + self.batch_size, len(self.cache)))
            found = self.model.caption(self.cache.read(rows), beam_width=1, no_repeat_ngram=0)
            captions += [each.words for each in found]
        logs["val_cider"] = cider(captions, self.references)["CIDEr"]


class EpochWriter(keras.callbacks.Callback):
    """Writes the log, the best captioner and the checkpoint, each whole, at the end of an epoch.

    Args:
        run: path of the run folder.
        is_over: function of the history, whether training is over.
        history: list of dicts, one an epoch; grows.
        data: str, full name of the data set.
    """

    def __init__(self, run, is_over, history, data):
        super().__init__()
        self.run = run
        self.is_over = is_over
        self.history = history
        self.data = data

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in logs.items()}
        self.history.append({"epoch": epoch + 1, **logs})
        scores = [each["val_cider"] for each in self.history]
        if scores[-1] == max(scores):
            # A copy has no optimizer, which would make the file three times as large.
            best = Captioner.from_config({**self.model.get_config(), "dtype": "float32"})
            best.set_weights(self.model.get_weights())
            with atomic_output(self.run / CAPTIONER) as temporary:
                best.save(temporary)
        write_log(self.run, self.history)
        write_checkpoint(self.run, self.model, self.history, self.data)
        self.model.stop_training = self.is_over(self.history)
