from dataclasses import dataclass

from sat_keras.fields import setting
from sat_keras.objectives.objective import Objective


@dataclass(eq=False)
class CrossEntropy(Objective, name="cross-entropy"):
    """The likelihood of the references, with the paper's regularisers.

    The loss of a caption of T words is

        -sum_t log p(y_t) + lambda sum_i (1 - sum_t alpha_ti)^2 - lambda_e sum_t H[alpha_t]
            - lambda_g sum_t log sum_i alpha_ti cover_ti

    The last sum is over words of phrases with boxes.

    Args:
        label_smoothing: float. See `losses.label_smoothing`. Defaults to `0.0`.
        doubly_stochastic: float. Lambda above. Defaults to `1.0`. Without attention it does
            nothing: the uniform weights cost the same whatever is learnt.
        entropy: float. Lambda_e above: positive values spread attention. Defaults to `0.0`.
        scheduled_sampling: float. Share of the words in a caption that the model draws itself, see
            `decoding.mix_in_own_words`. Defaults to `0.0`.
        grounding: float. Lambda_g above, see `losses.grounding`: attention looks at what it names.
            It needs a data set with boxes, and attention. Defaults to `0.0`.
    Reference:
        Xu et al., 2015, arXiv 1502.03044, eq. 14.
    """

    label_smoothing: float = setting(0.0, "share of probability for other words", least=0, most=1)
    doubly_stochastic: float = setting(1.0, "factor of the doubly stochastic regulariser", least=0)
    entropy: float = setting(0.0, "factor of the entropy of attention; above 0 spreads it")
    scheduled_sampling: float = setting(0.0, "share of words that are the model's", least=0, most=1)
    grounding: float = setting(0.0, "factor of grounded attention; needs boxes", least=0)

    default_for = ("soft", "none")

    def __call__(self, captioner, batch, training):
        previous = self.previous_words(captioner, batch) if training else batch.previous
        logits, alphas, _ = captioner(batch.x, previous, training=training)
        loss, _, totals = self.likelihood(captioner, batch, logits, alphas, training)
        return loss, totals

    def previous_words(self, captioner, batch):
        """The word before each word to predict, `(B, T)`."""
        if not self.scheduled_sampling:
            return batch.previous
        from sat_keras import decoding

        annotations = captioner.encode(batch.x)
        step, state, *_ = captioner.start(annotations, batch.captions_per_photo)
        return decoding.mix_in_own_words(
            step, state, batch.previous, self.scheduled_sampling, self.next_seed()
        )

    def likelihood(self, captioner, batch, logits, alphas, training):
        """Losses `(B,)`, the negative log-likelihood of each word `(B, T)`, and totals."""
        from keras import ops

        from sat_keras import losses

        words, mask = batch.words, batch.mask  # (B, T), (B, T)
        nll = losses.cross_entropy(words, logits, mask)  # (B, T)
        spread = losses.entropy(alphas, mask)  # (B, T)
        loss = ops.sum(nll - self.entropy * spread, axis=-1)  # (B,)
        if training and self.label_smoothing:
            smoothing = losses.label_smoothing(words, logits, mask)  # (B, T)
            loss += self.label_smoothing * ops.sum(smoothing, axis=-1)
        if captioner.attention != "none":
            counted = ops.cast(mask > 0, "float32")  # (B, T)
            weight = ops.divide_no_nan(ops.sum(mask, axis=-1), ops.sum(counted, axis=-1))  # (B,)
            coverage = losses.doubly_stochastic(alphas, counted)  # (B,)
            loss += self.doubly_stochastic * weight * coverage
        grounding, grounded = self.ground(batch, alphas)  # (B,)
        totals = word_totals(words, mask, logits, nll, spread) | grounded
        return loss + grounding, nll, totals


def word_totals(words, mask, logits, nll, spread):
    """The totals of metrics that are means over words."""
    from keras import ops

    correct = mask * ops.cast(ops.equal(ops.argmax(logits, axis=-1), words), "float32")  # (B, T)
    count = ops.sum(mask)
    return {
        "cross_entropy": (ops.sum(nll), count),
        "accuracy": (ops.sum(correct), count),
        "attention_entropy": (ops.sum(spread), count),
    }
