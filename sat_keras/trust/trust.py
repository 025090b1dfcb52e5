import keras
from keras import ops

from sat_edge.caption import PAD

KNOTS = 12  # of each of the two curves


@keras.saving.register_keras_serializable("sat_keras")
class Trust(keras.layers.Layer):
    """Confidence in a caption, and familiarity of its photo.

    With `x` the mean of a photo's annotations `a_i`, `m` the mean of `x` over the training photos,
    and `P`, `l` the directions and variances of their r principal components, `s` the variance of
    each other direction:

        d^2 = |P^T (x - m)|^2_{1/l} + (|x - m|^2 - |P^T (x - m)|^2) / s
        familiarity = F(d^2 / (mean_i |a_i - x|^2 + f))

    d is the Mahalanobis distance under probabilistic PCA. It is measured by how much annotations
    differ within the photo: a bare surface is stranger than a rich photo as far from the mean. F is
    the share of validation photos that are less familiar; f, a hundredth of the training photos'
    mean, keeps photos without any such difference finite.

    The words `w` that people use of such a photo, each by its weight, are predicted from the
    photo (`expected_words`), and so is how well people's captions of it agree (`outlook`). For a
    caption of N tokens, `<end>` counted, over its distinct words:

        score = c p^(1 / N) + sum_w expected_w / N + outlook
        confidence = G(score)

    F and G are linear between knots and constant outside. `calibrate` finds all weights, none of
    which is trained.

    Args:
        rank: int r, of both projections.
        words: int W. The words with ids below it are predicted.
        **kwargs: of `keras.layers.Layer`; it computes in float32 whatever the captioner does.
    Call arguments:
        annotations: float tensor `(B, L, D)`.
        tokens: int tensor `(B, n, T)`, n captions of each photo, padded with `<pad>`.
        log_prob: float tensor `(B, n)`, of each.
    Returns:
        confidence `(B, n)` and familiarity `(B,)`, float32, 0..1.
    Reference:
        Tipping and Bishop, 1999, "Probabilistic principal component analysis"; Lee et al., 2018,
        arXiv 1807.03888, for the distance.
    """

    def __init__(self, rank, words, **kwargs):
        super().__init__(**{"name": "trust", **kwargs, "dtype": "float32", "trainable": False})
        self.rank = rank
        self.words = words

    def build(self, annotations_shape):
        _, _, size = annotations_shape
        shapes = {
            "mean": (size,),  # m
            "components": (size, self.rank),  # P
            "precision": (self.rank,),  # 1 / l - 1 / s, since all directions have 1 / s already
            "rest_precision": (),  # 1 / s
            "least_spread": (),  # f
            "distance_knots": (KNOTS,),
            "familiarity_knots": (KNOTS,),
            "to_topics": (size, self.rank),
            "to_words": (self.rank, self.words),
            "mean_words": (self.words,),
            "to_outlook": (size, 1),
            "mean_outlook": (),
            "probability_factor": (),  # c
            "score_knots": (KNOTS,),
            "confidence_knots": (KNOTS,),
        }
        for name, shape in shapes.items():
            weight = self.add_weight(shape, "zeros", name=name, trainable=False)
            setattr(self, name, weight)
        self.built = True

    def of_photo(self, annotations):
        """What a photo alone says: the dict that a search on a device begins with.

        Args:
            annotations: float tensor `(B, L, D)`.
        Returns:
            Dict of `familiarity` `(B,)`, `outlook` `(B,)`, `expected_words` `(B, W)`.
        """
        x = ops.mean(annotations, axis=1)  # (B, D)
        topics = ops.matmul(x - self.mean, self.to_topics)  # (B, r)
        distance = self.distance(annotations)  # (B,)
        return {
            "familiarity": _curve(distance, self.distance_knots, self.familiarity_knots),
            "outlook": ops.matmul(x - self.mean, self.to_outlook)[:, 0] + self.mean_outlook,
            "expected_words": ops.matmul(topics, self.to_words) + self.mean_words,
        }

    def distance(self, annotations):
        """What F takes, of annotations `(B, L, D)`: `(B,)`."""
        x = ops.mean(annotations, axis=1, keepdims=True)  # (B, 1, D)
        spread = ops.mean(ops.sum(ops.square(annotations - x), axis=2), axis=1)  # (B,)
        centred = x[:, 0] - self.mean  # (B, D)
        along = ops.square(ops.matmul(centred, self.components))  # (B, r)
        squares = self.rest_precision * ops.sum(ops.square(centred), axis=1)  # (B,)
        squares += ops.sum(along * self.precision, axis=1)  # (B,): d^2
        return squares / (spread + self.least_spread)

    def agreement(self, tokens, expected_words):
        """The sum of `expected_words` `(B, W)` over the distinct words of `tokens` `(B, n, T)`:
        `(B, n)`."""
        tokens = ops.where(ops.equal(tokens, PAD), self.words, tokens)  # padding is no word
        said = ops.max(ops.one_hot(tokens, self.words, dtype="float32"), axis=2)  # (B, n, W)
        return ops.sum(said * expected_words[:, None], axis=2)

    def score(self, log_prob, length, agreement, outlook):
        """The score above of captions, before G; tensors of one shape, which is the result's."""
        probability = ops.exp(log_prob / length)  # of a word: the geometric mean
        return self.probability_factor * probability + agreement / length + outlook

    def confidence(self, log_prob, length, agreement, outlook):
        """The confidence in captions, from what `of_photo` and a search found.

        Args:
            log_prob: float tensor `(B,)`.
            length: float tensor `(B,)`, tokens of each, `<end>` counted.
            agreement: float tensor `(B,)`, see the method of this name.
            outlook: float tensor `(B,)`, see `of_photo`.
        Returns:
            float32 `(B,)`, 0..1.
        """
        score = self.score(log_prob, length, agreement, outlook)
        return _curve(score, self.score_knots, self.confidence_knots)

    def call(self, annotations, tokens, log_prob):
        photo = self.of_photo(annotations)
        length = ops.sum(ops.cast(ops.not_equal(tokens, PAD), "float32"), axis=2)  # (B, n)
        length = ops.maximum(length, 1.0)  # of a photo that could not be read
        agreement = self.agreement(tokens, photo["expected_words"])  # (B, n)
        outlook = photo["outlook"][:, None] + ops.zeros_like(length)  # (B, n)
        flat = (ops.reshape(each, (-1,)) for each in (log_prob, length, agreement, outlook))
        confidence = ops.reshape(self.confidence(*flat), ops.shape(log_prob))  # (B, n)
        return confidence, photo["familiarity"]

    # === Config ===
    def get_config(self):
        return {**super().get_config(), "rank": self.rank, "words": self.words}


def _curve(x, knots, values):
    """The values `(K,)` at knots `(K,)`, which rise, linear between them: of `x` `(B,)`, `(B,)`."""
    widths, rises = knots[1:] - knots[:-1], values[1:] - values[:-1]  # (K - 1,)
    done = ops.clip((x[:, None] - knots[:-1]) / widths, 0.0, 1.0)  # (B, K - 1)
    return values[0] + ops.sum(done * rises, axis=1)
