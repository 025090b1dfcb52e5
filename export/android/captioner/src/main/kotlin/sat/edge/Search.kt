package sat.edge

/**
 * How a caption is searched for: greedily, or by beam search. Each captioner file has one as its
 * default.
 *
 * @property beamWidth captions that are kept at each word. Defaults to 1: greedy.
 * @property lengthPenalty captions are ranked by log-probability / length^this, their `<end>`
 *   counted: 0 compares sums, 1 compares means over words. Defaults to 0.
 * @property noRepeatNgram no run of this many words comes twice in a caption. Defaults to 0: off.
 * @property nBest captions that are returned, at most [beamWidth]. Defaults to 1.
 * @throws InputError for a value out of its range.
 */
data class Search(
    val beamWidth: Int = 1,
    val lengthPenalty: Double = 0.0,
    val noRepeatNgram: Int = 0,
    val nBest: Int = 1
) {
    init {
        if (beamWidth < 1) throw InputError("beamWidth is $beamWidth: name 1 or more")
        if (nBest !in 1..beamWidth) {
            throw InputError("nBest is $nBest: name 1 to the beamWidth, which is $beamWidth")
        }
        if (lengthPenalty < 0 || lengthPenalty.isNaN() || lengthPenalty.isInfinite()) {
            throw InputError("lengthPenalty is $lengthPenalty: name 0 or more")
        }
        if (noRepeatNgram < 0) {
            throw InputError("noRepeatNgram is $noRepeatNgram: name 0 (off) or more words")
        }
    }

    /** Whether the most probable word is taken at each step. */
    val isGreedy: Boolean get() = beamWidth == 1 && noRepeatNgram == 0
}
