package sat.edge

// Ids of the special words, the first four lines of every vocabulary.
const val PAD = 0
const val START = 1
const val END = 2
const val UNKNOWN = 3

/**
 * A familiarity below this is worth a word to the user: fewer than 1 in 50 validation photos are so
 * unlike those of the training.
 */
const val UNFAMILIAR = 0.02

/** What a calibrated file says of a caption and of its photo; see [Caption]. */
internal class Trust(val confidence: Double, val familiarity: Double)

/**
 * A caption and where each of its words looked.
 *
 * @property text the sentence.
 * @property words without `<end>`.
 * @property tokens the ids of [words], and of `<end>` if it was reached: N of them.
 * @property logProb natural logarithm of the probability of all [tokens].
 * @property score what the search ranked it by; [logProb] where nothing else did.
 * @property attention N arrays, each token's weights over the grid, row by row, sum 1 each.
 * @property grid rows and columns of the grid.
 * @property regions one a location: its part of the photo, (ymin, xmin, ymax, xmax), 0..1.
 * @property confidence 0..1: what CIDEr the caption can be expected to have, as a share of a
 *   person's; null where the file was never calibrated.
 * @property familiarity 0..1: the share of validation photos that are less like those of the
 *   training; null likewise.
 */
class Caption internal constructor(
    val text: String,
    val words: List<String>,
    val tokens: IntArray,
    val logProb: Double,
    val score: Double,
    val attention: List<FloatArray>,
    val grid: Grid,
    val regions: List<FloatArray>,
    val confidence: Double?,
    val familiarity: Double?
) {
    /** Whether the photo is so unlike the training photos that the caption means little. */
    val isUnfamiliar: Boolean get() = familiarity != null && familiarity < UNFAMILIAR

    override fun toString() = text

    internal companion object {
        /** From what a decoder puts out: padded [tokens] (T) and [attention] (T, L). */
        fun fromDecoder(
            file: CaptionerFile,
            tokens: IntArray,
            attention: List<FloatArray>,
            logProb: Double,
            score: Double,
            trust: Trust?
        ): Caption {
            val end = tokens.indexOf(END)
            val length = if (end >= 0) end + 1 else tokens.count { it != PAD }
            val kept = tokens.copyOf(length)
            val words = kept.filter { it != END }.map { file.vocabulary[it] }
            return Caption(
                text = sentence(words),
                words = words,
                tokens = kept,
                logProb = logProb,
                score = score,
                attention = attention.take(length),
                grid = file.grid,
                regions = file.regions,
                confidence = trust?.confidence,
                familiarity = trust?.familiarity
            )
        }

        /** "n't" and "'s" are words of their own in a vocabulary (Penn Treebank). */
        fun sentence(words: List<String>) =
            words.joinToString(" ").replace(" n't", "n't").replace(" '", "'")
    }
}
