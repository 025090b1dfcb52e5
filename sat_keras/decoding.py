"""Captions out of a step function, in one `tf.while_loop`. Knows no model.

A step function is `step(token, state) -> (logits, state, alphas)`: the previous words `(B,)`, any
nest of state tensors with B first, logits `(B, V)` and attention `(B, L)`.

Captions come as `tokens` int32 `(B, T)`, from the first word to `<end>`, then `<pad>`; `alphas`
float32 `(B, T, L)`, zero behind `<end>`; `log_prob` float32 `(B,)`, the sum over words and `<end>`.
A caption that reaches T words without its `<end>` stays without it.
"""

import tensorflow as tf

from sat_edge.caption import END, PAD, START, UNKNOWN
from sat_keras import replicas

_IMPOSSIBLE = -1e9  # a logit or log-probability: minus infinity would make 0 * inf


def greedy(step, state, batch_size, locations, max_length=20):
    """Takes the most probable word until every caption has its `<end>`.

    Args:
        step: the step function.
        state: its first state.
        batch_size: int or scalar tensor B.
        locations: int L.
        max_length: int T, words and `<end>`. Defaults to `20`.
    Returns:
        `tokens`, `alphas`, `log_prob`.
    """

    def most_probable(logits, t):
        return tf.argmax(logits, axis=-1, output_type=tf.int32)

    return _word_by_word(most_probable, step, state, batch_size, locations, max_length)


def sample(
    step, state, batch_size, locations, max_length=20, temperature=1.0, top_k=0, top_p=1.0, *, seed
):
    """Draws every word from the model's distribution.

    Args:
        step, state, batch_size, locations, max_length: see `greedy`.
        temperature: float. Logits are divided by it. Defaults to `1.0`.
        top_k: int. Only the k most probable words are drawn from. Defaults to `0`: all.
        top_p: float. Only the fewest words that together have this probability are drawn from
            (Holtzman et al., 2020, "nucleus"). Defaults to `1.0`: all.
        seed: int32 tensor `(2,)`. The same seed draws the same captions.
    Returns:
        `tokens`, `alphas`, `log_prob`; the last under the model itself, without temperature.
    """

    rows = replicas.rows(batch_size)

    def draw(logits, t):
        logits = logits / temperature
        if top_k:
            kept = tf.math.top_k(logits, min(top_k, logits.shape[-1])).values  # (B, k)
            logits = tf.where(logits < kept[:, -1:], _IMPOSSIBLE, logits)
        if top_p < 1:
            ordered = tf.sort(logits, direction="DESCENDING")  # (B, V)
            before = tf.cumsum(tf.nn.softmax(ordered), axis=-1, exclusive=True)  # (B, V)
            least = tf.reduce_min(tf.where(before < top_p, ordered, float("inf")), -1)  # (B,)
            logits = tf.where(logits < least[:, None], _IMPOSSIBLE, logits)
        word_seed = tf.random.experimental.stateless_fold_in(seed, t)
        return _draw_words(logits, word_seed, rows)

    return _word_by_word(draw, step, state, batch_size, locations, max_length)


def _word_by_word(choose, step, state, batch_size, locations, max_length):
    """One caption a row; `choose(logits, t)` gives the next words `(B,)`."""

    def body(t, token, running, state, tokens, alphas, log_prob):
        logits, state, alpha = step(token, state)  # (B, V), (B, L)
        vocabulary_size = logits.shape[-1]
        token = choose(bar(logits), t)  # (B,)
        chosen = tf.one_hot(token, vocabulary_size)  # (B, V)
        word_log_prob = tf.reduce_sum(chosen * tf.nn.log_softmax(logits), axis=-1)  # (B,)

        # Results go into tensors of their final size: lists do not convert to TFLite.
        token = tf.where(running, token, PAD)
        mask = tf.cast(running, tf.float32)
        log_prob += mask * word_log_prob
        here = tf.one_hot(t, max_length)  # (T,)
        tokens += token[:, None] * tf.cast(here, tf.int32)[None, :]
        alphas += (mask[:, None] * alpha)[:, None, :] * here[None, :, None]
        running = tf.logical_and(running, tf.not_equal(token, END))
        return t + 1, token, running, state, tokens, alphas, log_prob

    def some_running(t, token, running, *_):
        return tf.logical_and(t < max_length, tf.reduce_any(running))

    *_, tokens, alphas, log_prob = tf.while_loop(
        some_running,
        body,
        (
            tf.constant(0),
            tf.fill([batch_size], START),
            tf.fill([batch_size], True),
            state,
            tf.zeros([batch_size, max_length], tf.int32),
            tf.zeros([batch_size, max_length, locations]),
            tf.zeros([batch_size]),
        ),
        maximum_iterations=max_length,
    )
    return tokens, alphas, log_prob


def beam_search(step, state, batch_size, locations, max_length, search):
    """Keeps the K best captions of each picture, word by word.

    A caption's score is `log_prob / length ** length_penalty`, its `<end>` counted. A caption that
    has its `<end>` stays among the K as it is, until K better ones push it out. The search ends
    where no running caption can enter the n best any more: its score could at best be its present
    log-probability at the greatest length.

    Args:
        step, batch_size, locations, max_length: see `greedy`; B pictures, but
        state: the first state of B x K rows, each picture's row K times in a row; what `step`
            remembers of the pictures is to be repeated likewise.
        search: `Search`. Of its K captions only the n best are sure to be final.
    Returns:
        `tokens` int32 `(B, K, T)`, `alphas` `(B, K, T, L)`, `log_prob` and `score` `(B, K)`, the
        best first.
    """
    width, length_penalty = search.beam_width, search.length_penalty

    def body(t, token, finished, length, state, tokens, alphas, log_prob, _):
        logits, state, alpha = step(tf.reshape(token, [-1]), state)  # (B K, V), (B K, L)
        vocabulary_size = logits.shape[-1]
        words = _word_scores(logits, tokens, t, finished, search)  # (B, K, V)
        candidates = log_prob[..., None] + words  # (B, K, V)
        length += tf.cast(tf.logical_not(finished), tf.float32)  # (B, K)
        scores = candidates / (length**length_penalty)[..., None]  # (B, K, V)
        scores = tf.reshape(scores, [batch_size, width * vocabulary_size])  # (B, K V)
        score, best = tf.math.top_k(scores, width)  # (B, K), (B, K)
        parent, token = best // vocabulary_size, best % vocabulary_size  # (B, K), (B, K)

        # Everything follows its parent. Rows of the state are of all pictures: (B K, ...).
        log_prob = tf.gather(tf.reshape(candidates, tf.shape(scores)), best, batch_dims=1)
        length = tf.gather(length, parent, batch_dims=1)
        running = tf.logical_not(tf.gather(finished, parent, batch_dims=1))  # (B, K)
        row = tf.reshape(parent + width * tf.range(batch_size)[:, None], [-1])  # (B K,)
        state = tf.nest.map_structure(lambda each: tf.gather(each, row), state)
        here = tf.one_hot(t, max_length)  # (T,)
        tokens = tf.gather(tokens, parent, batch_dims=1)  # (B, K, T)
        tokens += token[..., None] * tf.cast(here, tf.int32)
        alpha = tf.reshape(tf.gather(alpha, row), [batch_size, width, 1, locations])
        mask = tf.cast(running, tf.float32)[..., None, None]  # (B, K, 1, 1)
        alphas = tf.gather(alphas, parent, batch_dims=1)  # (B, K, T, L)
        alphas += mask * alpha * here[:, None]
        finished = tf.logical_or(tf.logical_not(running), tf.equal(token, END))  # (B, K)
        return t + 1, token, finished, length, state, tokens, alphas, log_prob, score

    def some_can_win(t, token, finished, length, state, tokens, alphas, log_prob, score):
        best_possible = tf.where(finished, -float("inf"), log_prob / max_length**length_penalty)
        limit = tf.reduce_max(best_possible, axis=1, keepdims=True)  # (B, 1)
        final = tf.logical_and(finished, score > limit)  # (B, K)
        settled = tf.reduce_sum(tf.cast(final, tf.int32), axis=1) >= search.n_best  # (B,)
        return tf.logical_and(t < max_length, tf.logical_not(tf.reduce_all(settled)))

    rows = [batch_size, width]
    # At first all K rows of a picture are the same caption: only one of them may go on.
    log_prob = tf.one_hot(tf.zeros([batch_size], tf.int32), width, 0.0, _IMPOSSIBLE)  # (B, K)
    empty = (tf.zeros([*rows, max_length], tf.int32), tf.zeros([*rows, max_length, locations]))
    first = (tf.constant(0), tf.fill(rows, START), tf.fill(rows, False), tf.zeros(rows), state)
    *_, tokens, alphas, log_prob, score = tf.while_loop(
        some_can_win, body, (*first, *empty, log_prob, log_prob), maximum_iterations=max_length
    )
    return tokens, alphas, log_prob, score


def _word_scores(logits, tokens, t, finished, search):
    """What each next word adds to the log-probability of each of K captions, `(B, K, V)`.

    `logits` are `(B K, V)`, `tokens` `(B, K, T)`, of which t are said, `finished` `(B, K)`.
    """
    vocabulary_size, max_length = logits.shape[-1], tokens.shape[-1]
    words = bar(tf.nn.log_softmax(logits))  # (B K, V)
    if 0 < search.no_repeat_ngram <= max_length:
        said = tf.reshape(tokens, [-1, max_length])  # (B K, T)
        seen = _would_repeat(said, t, search.no_repeat_ngram, words)
        words = tf.where(seen, _IMPOSSIBLE, words)
    words = tf.reshape(words, [-1, search.beam_width, vocabulary_size])  # (B, K, V)
    # A finished caption has one way on, which costs nothing.
    padding = tf.one_hot(PAD, vocabulary_size, 0.0, _IMPOSSIBLE)  # (V,)
    return tf.where(finished[..., None], padding, words)


def mix_in_own_words(step, state, tokens, probability, seed):
    """Scheduled sampling: replaces some of a caption's words by what the model says itself.

    Word by word, with `probability` the word is drawn from the model's distribution behind the
    words so far, own ones among them, and else stays the caption's.

    Args:
        step, state: see `greedy`.
        tokens: int tensor `(B, T)`, a caption's words, `<start>` first.
        probability: float or scalar tensor.
        seed: int32 tensor `(2,)`.
    Returns:
        int32 `(B, T)`, `<start>` first.
    Reference:
        Bengio et al., 2015, arXiv 1506.03099.
    """
    batch_size, steps = tf.unstack(tf.shape(tokens))
    rows = replicas.rows(batch_size)
    own = tf.random.stateless_uniform([steps, rows.total], seed) < probability
    own = rows.of(own, axis=1)  # (T, B)
    words = tf.transpose(tf.cast(tokens, tf.int32))  # (T, B)

    def body(t, token, state, mixed):
        mixed = mixed.write(t, token)
        logits, state, _ = step(token, state)  # (B, V)
        word_seed = tf.random.experimental.stateless_fold_in(seed, t)
        drawn = _draw_words(bar(logits), word_seed, rows)  # (B,)
        next_word = tf.minimum(t + 1, steps - 1)
        token = tf.where(own[next_word], drawn, words[next_word])
        return t + 1, token, state, mixed

    *_, mixed = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (tf.constant(0), words[0], state, tf.TensorArray(tf.int32, size=steps)),
        maximum_iterations=steps,
    )
    return tf.transpose(mixed.stack())


def bar(logits):
    """Logits `(..., V)` without the words that no caption holds: they become impossible."""
    barred = (PAD, START, UNKNOWN)
    return logits + tf.constant([_IMPOSSIBLE * (i in barred) for i in range(logits.shape[-1])])


def _draw_words(logits, seed, rows):
    """Words `(B,)` drawn by logits `(B, V)`; row i of the whole batch draws alike everywhere."""
    drawn = tf.random.stateless_categorical(rows.spread(logits), 1, seed, tf.int32)
    return rows.of(drawn)[:, 0]


def _would_repeat(tokens, t, n, words):
    """Which words would close a run of n words that `tokens` `(R, T)`, t long, holds: `(R, V)`."""
    starts = tokens.shape[1] - n + 1  # S: where a run may begin
    same = tf.range(starts) + n - 1 < t  # (S,): the run's last word has been said
    for i in range(n - 1):
        said = tf.gather(tokens, tf.maximum(t - n + 1 + i, 0), axis=1)  # (R,)
        same = tf.logical_and(same, tf.equal(tokens[:, i : i + starts], said[:, None]))  # (R, S)
    closing = tokens[:, n - 1 :]  # (R, S)
    row = tf.range(tf.shape(tokens)[0])[:, None] + tf.zeros_like(closing)  # (R, S)
    same = tf.cast(same, tf.int32) + tf.zeros_like(closing)  # (R, S)
    return tf.scatter_nd(tf.stack([row, closing], axis=-1), same, tf.shape(words)) > 0  # (R, V)
