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
 * @param maxLength the most tokens of a caption, `<end>` counted.
 * @return at most [Search.nBest].
 */
internal fun <State> beamSearch(
    step: (Int, State) -> Step<State>,
    state: State,
    maxLength: Int,
    search: Search
): List<Beam<State>> {
    var beams = listOf(Beam(state))
    while (!settled(beams, maxLength, search)) {
        beams = beams
            .flatMap { if (it.finished) listOf(it) else grow(step, it, search) }
            .sortedByDescending { it.score(search.lengthPenalty) } // stable, as Python's
            .take(search.beamWidth)
    }
    return beams.take(search.nBest)
}

/** Whether no running beam can enter the n best any more. */
private fun settled(beams: List<Beam<*>>, maxLength: Int, search: Search): Boolean {
    val running = beams.filter { !it.finished }
    if (running.isEmpty() || running[0].tokens.size == maxLength) return true
    val longest = maxLength.toDouble().pow(search.lengthPenalty)
    val final = beams.count { beam ->
        beam.finished &&
            running.all { beam.score(search.lengthPenalty) > it.logProb / longest }
    }
    return final >= search.nBest
}

/** The beam with each of its most probable next words. */
private fun <State> grow(
    step: (Int, State) -> Step<State>,
    beam: Beam<State>,
    search: Search
): List<Beam<State>> {
    val next = step(beam.tokens.lastOrNull() ?: START, beam.state)
    val highest = next.logits.fold(Float.NEGATIVE_INFINITY) { most, each -> maxOf(most, each) }
    val logSum = ln(next.logits.sumExp(highest)).toFloat()
    val logP = FloatArray(next.logits.size) { next.logits[it] - highest - logSum } // (V)
    for (word in listOf(PAD, START, UNKNOWN) + closing(beam.tokens, search.noRepeatNgram)) {
        logP[word] = Float.NEGATIVE_INFINITY
    }
    return highest(logP, search.beamWidth).map { word ->
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
