from dataclasses import dataclass

from sat_keras.fields import setting
from sat_keras.objectives.cross_entropy import CrossEntropy

_DECAY = 0.9


@dataclass(eq=False)
class Reinforce(CrossEntropy, name="reinforce"):
    """Hard attention: the likelihood at sampled locations, and REINFORCE for the locations.

    Each step of a caption samples its location, `s_t ~ Categorical(alpha_t)`, and the term of
    `losses.reinforce` is added to the loss. The likelihood of a word has a baseline: its moving
    average over batches, `b <- 0.9 b + 0.1 mean log p`, or, with several samples per caption, the
    mean over the caption's other samples. REINFORCE covers only the likelihood; the regularisers
    are differentiated at the sampled locations.

    Args:
        expectation: float. Share of the steps that take the expected annotation instead of a
            sample, which lowers the variance. Each step of each caption draws for itself: one draw
            for a whole batch, as in the paper's code, leaves half of all updates without a gradient
            for the locations (`benchmarks/reinforce_variance.py`). Defaults to `0.5`.
        samples: int. Samples per caption. Defaults to `1`.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, section 4.1.
    """

    expectation: float = setting(
        0.5, "share of steps with the expected annotation", least=0, most=1
    )
    samples: int = setting(1, "samples per caption", least=1)

    default_for = ("hard",)
    attentions = ("hard",)
    metric_names = (*CrossEntropy.metric_names, "reward", "baseline")

    def build(self, captioner):
        import keras
        import numpy as np

        super().build(captioner)
        # Of a word, in nats. It begins with a word drawn uniformly.
        self.baseline = keras.Variable(
            -np.log(len(captioner.vocabulary)), trainable=False, dtype="float32", name="baseline"
        )

    @property
    def variables(self):
        return [*super().variables, self.baseline]

    def __call__(self, captioner, batch, training):
        if not training:
            return super().__call__(captioner, batch, training)
        from keras import ops

        from sat_keras import losses

        batch = batch._replace(previous=self.previous_words(captioner, batch))
        batch = batch.repeat_captions(self.samples)
        noise = self.draw_noise(batch.words, captioner.encoder.output_shape[1])
        logits, alphas, samples = captioner(batch.x, batch.previous, training=True, noise=noise)
        loss, nll, totals = self.likelihood(captioner, batch, logits, alphas, training)
        rewards = -nll  # (B, T)
        loss += losses.reinforce(rewards, self.baselines(rewards, batch.mask), alphas, samples)
        count = ops.sum(batch.mask)
        totals |= {"reward": (ops.sum(rewards), count), "baseline": (self.baseline * count, count)}
        return loss, totals

    def draw_noise(self, words, locations):
        """`gumbel` `(T, B, L)` and `sampled` `(T, B, 1)`, see `HardSelection`."""
        import keras
        from keras import ops

        from sat_keras import replicas
        from sat_keras.layers import gumbel

        batch_size, steps = ops.shape(words)
        rows = replicas.rows(batch_size)
        uniform = keras.random.uniform(
            (steps, rows.total, locations), dtype="float32", seed=self.seeds
        )
        coins = keras.random.uniform((steps, rows.total, 1), dtype="float32", seed=self.seeds)
        sampled = ops.cast(coins >= self.expectation, "float32")
        return gumbel(rows.of(uniform, axis=1)), rows.of(sampled, axis=1)

    def baselines(self, rewards, mask):
        """What the log-likelihood of each word `(B, T)` is compared with."""
        from keras import ops

        if self.samples == 1:
            return self.baseline * mask
        steps = ops.shape(rewards)[1]
        each = ops.reshape(rewards, (-1, self.samples, steps))  # (B / S, S, T)
        others = (ops.sum(each, axis=1, keepdims=True) - each) / (self.samples - 1)
        return ops.reshape(others, (-1, steps))  # (B, T)

    def update(self, totals):
        total, count = totals["reward"]
        mean = total / count
        self.baseline.assign(_DECAY * self.baseline + (1 - _DECAY) * mean)
