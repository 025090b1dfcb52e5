package sat.edge

import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.pow

/** What a step says of the word after a token: [logits] (V), the new [state], [attention] (L). */
internal class Step<State>(val logits: FloatArray, val state: State, val attention: FloatArray)

/** A caption so far: its tokens, the attention of each, and the state behind the last one. */
internal class Beam<State>(
    val state: State,
    val tokens: List<Int> = emptyList(),
    val attention: List<FloatArray> = emptyList(),
    val logProb: Double = 0.0
) {
    val finished get() = tokens.lastOrNull() == END

    fun score(lengthPenalty: Double) = logProb / maxOf(tokens.size, 1).toDouble().pow(lengthPenalty)
}

/**
 * The n best captions of one photo, the best first. What `sat_edge.beam_search` does in Python.
 *
 * @param step from a token and a state to what comes after it.
 * @param state its first state.
 * @param maxLength the most tokens of a caption.
 * @param width beams that are kept; 1 is greedy.
 * @param lengthPenalty captions are ranked by log-probability / length^this.
 * @param noRepeatNgram no run of so many words comes twice in a caption; 0 is off.
 * @param nBest how many, at most [width].
 */
internal fun <State> beamSearch(
    step: (Int, State) -> Step<State>,
    state: State,
    maxLength: Int,
    width: Int = 3,
    lengthPenalty: Double = 0.0,
    noRepeatNgram: Int = 0,
    nBest: Int = 1
): List<Beam<State>> {
    checkSearch(width, lengthPenalty, noRepeatNgram, nBest)
    var beams = listOf(Beam(state))
    while (!settled(beams, maxLength, lengthPenalty, nBest)) {
        beams = beams
            .flatMap { if (it.finished) listOf(it) else grow(step, it, width, noRepeatNgram) }
            .sortedByDescending { it.score(lengthPenalty) } // stable, as Python's
            .take(width)
    }
    return beams.take(nBest)
}

private fun checkSearch(width: Int, lengthPenalty: Double, noRepeatNgram: Int, nBest: Int) {
    if (width < 1 || nBest !in 1..width) {
        throw InputError("beam width $width, $nBest best: name 1 or more, and at most the width")
    }
    if (lengthPenalty < 0) throw InputError("length penalty $lengthPenalty: name 0 or more")
    if (noRepeatNgram < 0) {
        throw InputError("n-grams of $noRepeatNgram words: name 0 (off) or more")
    }
}

/** Whether no running beam can enter the n best any more. */
private fun settled(
    beams: List<Beam<*>>,
    maxLength: Int,
    lengthPenalty: Double,
    nBest: Int
): Boolean {
    val running = beams.filter { !it.finished }
    if (running.isEmpty() || running[0].tokens.size == maxLength) return true
    val longest = maxLength.toDouble().pow(lengthPenalty)
    val final = beams.count { beam ->
        beam.finished && running.all { beam.score(lengthPenalty) > it.logProb / longest }
    }
    return final >= nBest
}

/** The beam with each of its [width] most probable next words. */
private fun <State> grow(
    step: (Int, State) -> Step<State>,
    beam: Beam<State>,
    width: Int,
    noRepeatNgram: Int
): List<Beam<State>> {
    val next = step(beam.tokens.lastOrNull() ?: START, beam.state)
    val highest = next.logits.fold(Float.NEGATIVE_INFINITY) { most, each -> maxOf(most, each) }
    val logSum = ln(next.logits.sumExp(highest)).toFloat()
    val logP = FloatArray(next.logits.size) { next.logits[it] - highest - logSum } // (V)
    for (word in listOf(PAD, START, UNKNOWN) + closing(beam.tokens, noRepeatNgram)) {
        logP[word] = Float.NEGATIVE_INFINITY
    }
    return highest(logP, width).map { word ->
        Beam(
            next.state,
            beam.tokens + word,
            beam.attention + listOf(next.attention),
            beam.logProb + logP[word]
        )
    }
}

private fun FloatArray.sumExp(highest: Float): Double {
    var sum = 0.0
    for (logit in this) sum += exp((logit - highest).toDouble())
    return sum
}

/** The words of the [count] highest finite values, the highest first, the lower id among equals. */
private fun highest(values: FloatArray, count: Int): List<Int> {
    val found = mutableListOf<Int>()
    while (found.size < count) {
        var best = -1
        for (word in values.indices) {
            val higher = best < 0 || values[word] > values[best]
            if (higher && values[word] > Float.NEGATIVE_INFINITY && word !in found) best = word
        }
        if (best < 0) break
        found += best
    }
    return found
}

/** Words that would close a run of [n] words which [tokens] already holds. */
private fun closing(tokens: List<Int>, n: Int): List<Int> {
    if (n == 0 || tokens.size < n) return emptyList()
    val last = tokens.takeLast(n - 1)
    return (0..tokens.size - n)
        .filter { tokens.subList(it, it + n - 1) == last }
        .map { tokens[it + n - 1] }
}
