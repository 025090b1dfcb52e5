import dataclasses
from dataclasses import dataclass

from sat_edge.caption import PAD, START
from sat_edge.errors import InputError
from sat_keras.fields import setting
from sat_keras.metrics import CaptionReward
from sat_keras.objectives.cross_entropy import word_totals
from sat_keras.objectives.objective import Objective


@dataclass(eq=False)
class SelfCritical(Objective, name="self-critical"):
    """Raises the reward of drawn captions over that of the greedy caption: a second phase.

    The loss of a drawn caption w is `-(r(w) - r(greedy)) log p(w)`. As many captions are drawn of
    each photo as the batch has references of it. The loss of a reference y, `-lambda_x log p(y)`
    and the term of grounded attention, is added. Nothing is dropped, and no location is sampled.
    Sample weights scale the terms of references alone. Validation reports the likelihood of
    references.

    Args:
        reward: `metrics.CaptionReward` of the training split's ids. Defaults to `None`: a run makes
            it by `prepare`.
        temperature: float. Of the softmax. At 1 nearly every caption that a young captioner draws
            is far worse than its greedy one, and there is little to learn from; the greedy caption
            is the same at any temperature. Defaults to `0.4`.
        reward_meteor: float. Factor of METEOR in the reward that `prepare` makes. Defaults to
            `0.0`.
        reward_repetition: float. What each repetition costs in that reward, see `CaptionReward`.
            Defaults to `0.0`.
        likelihood: float. Lambda_x above: it keeps sentences fluent. Defaults to `0.0`.
        grounding: float. See `CrossEntropy`; it keeps attention from drifting. Defaults to `0.0`.
    Reference:
        Rennie et al., 2017, arXiv 1612.00563, eq. 9.
    """

    reward: CaptionReward | None = dataclasses.field(default=None, repr=False)
    temperature: float = setting(0.4, "temperature of the softmax of drawn captions", above=0)
    reward_meteor: float = setting(0.0, "factor of METEOR beside CIDEr-D in the reward", least=0)
    reward_repetition: float = setting(0.0, "what a repetition costs in the reward", least=0)
    likelihood: float = setting(0.0, "factor of the references' likelihood", least=0)
    grounding: float = setting(0.0, "factor of grounded attention; needs boxes", least=0)

    needs_references = True
    metric_names = (*Objective.metric_names, "reward", "baseline")

    def prepare(self, captions, vocabulary):
        self.reward = CaptionReward(
            captions, self.reward_meteor, self.reward_repetition, vocabulary.words
        )

    def __call__(self, captioner, batch, training):
        from keras import ops

        from sat_keras import losses

        if not training:
            return self.of_references(captioner, batch)
        drawn, advantages, totals = self.draw(captioner, batch)
        mask = ops.cast(ops.not_equal(drawn, PAD), "float32")  # (B, T)
        previous = ops.pad(drawn[:, :-1], [[0, 0], [1, 0]], constant_values=START)  # (B, T)
        logits, alphas, _ = captioner(batch.x, previous)  # (B, T, V), (B, T, L)
        nll = losses.cross_entropy(drawn, self.drawn_logits(logits), mask)  # (B, T)
        spread = losses.entropy(alphas, mask)  # (B, T)
        loss = advantages * ops.sum(nll, axis=-1)  # (B,)
        if self.likelihood or self.needs_boxes:
            of_references, their_totals = self.of_references(captioner, batch, self.likelihood)
            loss, totals = loss + of_references, totals | their_totals
        totals["attention_entropy"] = (ops.sum(spread), ops.sum(mask))
        return loss, totals

    def drawn_logits(self, logits):
        """The logits that captions are drawn by: no special word is possible."""
        from sat_keras import decoding

        return decoding.bar(logits) / self.temperature

    def of_references(self, captioner, batch, likelihood=1.0):
        """Losses of the references `(B,)`, their likelihood with this factor, and totals."""
        from keras import ops

        from sat_keras import losses

        words, mask = batch.words, batch.mask
        logits, alphas, _ = captioner(batch.x, batch.previous)
        nll = losses.cross_entropy(words, logits, mask)  # (B, T)
        totals = word_totals(words, mask, logits, nll, losses.entropy(alphas, mask))
        grounding, grounded = self.ground(batch, alphas)  # (B,)
        return likelihood * ops.sum(nll, axis=-1) + grounding, totals | grounded

    def draw(self, captioner, batch):
        """Drawn captions `(B, T)`, by how much each beats the greedy one `(B,)`, and totals."""
        import tensorflow as tf

        from sat_keras import decoding
        from sat_keras.layers import repeat_rows

        if self.reward is None:
            raise InputError("self-critical training: give SelfCritical a CaptionReward")
        annotations = captioner.encode(batch.x)  # (B / C, L, D)
        own, *_ = decoding.greedy(*captioner.start(annotations))
        drawn = self.captions(captioner, annotations, batch.captions_per_photo)
        rewards, baselines = tf.numpy_function(
            self.score, [drawn, own, batch.words], [tf.float32, tf.float32]
        )
        rewards, baselines = tf.ensure_shape(rewards, [None]), tf.ensure_shape(baselines, [None])
        totals = {
            "reward": (tf.reduce_sum(rewards), tf.cast(tf.size(rewards), tf.float32)),
            "baseline": (tf.reduce_sum(baselines), tf.cast(tf.size(baselines), tf.float32)),
        }
        baselines = repeat_rows(baselines, batch.captions_per_photo)  # (B,)
        longest = tf.reduce_max(tf.math.count_nonzero(drawn, axis=1, dtype=tf.int32))
        return drawn[:, : tf.maximum(longest, 1)], rewards - baselines, totals

    def captions(self, captioner, annotations, captions_per_photo):
        """Captions drawn of each photo of annotations `(B / C, L, D)`: int32 `(B, T)`."""
        from sat_keras import decoding

        start = captioner.start(annotations, captions_per_photo)
        drawn, *_ = decoding.sample(*start, self.temperature, seed=self.next_seed())
        return drawn

    def score(self, drawn, own, references):
        """Rewards of drawn `(B, T)` and greedy `(B / C, T)` captions. `<end>` counts as a word:
        without it captions would learn to stop in the middle."""
        drawn, own, references = (
            [row[row != PAD].tolist() for row in rows] for rows in (drawn, own, references)
        )
        each = len(references) // max(len(own), 1)
        of_photos = [references[i * each : (i + 1) * each] for i in range(len(own))]
        of_drawn = [of_photos[i // each] for i in range(len(drawn))]
        scores = self.reward.score(drawn + own, of_drawn + of_photos).astype("float32")
        return scores[: len(drawn)], scores[len(drawn) :]
