package sat.edge

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import org.json.JSONObject

/**
 * Searches the captions of a conformance folder by this module's own search, over the steps that
 * the folder recorded; `export/conformance/make.py` describes its files. Each captioner file's own
 * `captioner.json` says how to search. Writes FOLDER/results/kotlin. Fails where the search asks
 * for a step that was not recorded.
 */
object Conformance {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val folder = File(arguments.single())
        val facts = JSONObject(File(folder, "conformance.json").readText())
        val count = facts.getInt("count")
        val files = facts.getJSONObject("files")
        val names = files.names() // no `keys()`: Debian's has no type
        for (i in 0 until names.length()) {
            val name = names.getString(i)
            val of = files.getJSONObject(name)
            val sizes = Sizes(
                count,
                of.getInt("max_length"),
                of.getInt("locations"),
                of.getInt("vocabulary_size")
            )
            val to = File(folder, "results/kotlin/$name").apply { mkdirs() }
            decode(File(folder, name), to, sizes)
            println("$name: $count photos")
        }
    }

    private class Sizes(
        val photos: Int,
        val maxLength: Int,
        val locations: Int,
        val vocabulary: Int
    )

    private fun decode(from: File, to: File, sizes: Sizes) {
        val path = File(from, "captioner.tflite")
        val file = CaptionerFile.read(ByteBuffer.wrap(path.readBytes()), path.path)
        check(file.maxLength == sizes.maxLength && file.vocabulary.size == sizes.vocabulary) {
            "$path: other sizes than in conformance.json"
        }
        val recorded = Recorded(from, sizes)
        val (length, locations) = Pair(sizes.maxLength, sizes.locations)
        val tokens = buffer(sizes.photos * length) // (N, T)
        val attention = buffer(sizes.photos * length * locations) // (N, T, L)
        for (photo in 0 until sizes.photos) {
            val step = { token: Int, parent: Int -> recorded.step(photo, parent, token) }
            val best = beamSearch(step, Recorded.FIRST, length, file.search)[0]
            best.tokens.forEachIndexed { at, token ->
                val row = photo * length + at
                tokens.putInt(row * BYTES, token)
                best.attention[at].forEachIndexed { i, weight ->
                    attention.putFloat((row * locations + i) * BYTES, weight)
                }
            }
        }
        write(File(to, "tokens.bin"), tokens)
        write(File(to, "attention.bin"), attention)
    }

    /** What `step` gave. A state is the number of the step within its photo that returned it. */
    private class Recorded(private val from: File, sizes: Sizes) {
        private val vocabulary = sizes.vocabulary
        private val locations = sizes.locations
        private val logits: ByteBuffer // (S, V)
        private val attention: ByteBuffer // (S, L)
        private val rows = mutableMapOf<Triple<Int, Int, Int>, Int>() // photo, parent, token
        private val numbers: IntArray // (S): of each step within its photo

        init {
            val steps = read(File(from, "steps.bin")).ints() // (S, 3)
            val count = steps.size / 3
            logits = read(File(from, "step_logits.bin"), count * vocabulary)
            attention = read(File(from, "step_attention.bin"), count * locations)
            val perPhoto = IntArray(sizes.photos)
            numbers = IntArray(count) { perPhoto[steps[it * 3]]++ }
            for (row in 0 until count) {
                val (photo, parent, token) = steps.slice(row * 3 until row * 3 + 3)
                val before = rows.put(Triple(photo, parent, token), row)
                check(before == null) { "$from/steps.bin: step $row is step $before again" }
            }
        }

        fun step(photo: Int, parent: Int, token: Int): Step<Int> {
            val row = checkNotNull(rows[Triple(photo, parent, token)]) {
                "$from, photo $photo: no step with word $token after step $parent was recorded"
            }
            return Step(
                row(logits, row, vocabulary), numbers[row], row(attention, row, locations)
            )
        }

        private fun row(numbers: ByteBuffer, row: Int, length: Int) =
            FloatArray(length) { numbers.getFloat((row * length + it) * BYTES) }

        companion object {
            const val FIRST = -1 // the state of `encode`
        }
    }

    private const val BYTES = 4 // of an int32 or a float32

    private fun buffer(count: Int) =
        ByteBuffer.allocate(count * BYTES).order(ByteOrder.LITTLE_ENDIAN)

    private fun read(file: File) = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.LITTLE_ENDIAN)

    private fun read(file: File, count: Int) = read(file).also {
        check(it.limit() == count * BYTES) { "$file: ${it.limit()} bytes, not ${count * BYTES}" }
    }

    private fun write(file: File, numbers: ByteBuffer) {
        val temporary = File(file.path + ".part")
        temporary.writeBytes(numbers.array())
        Files.move(temporary.toPath(), file.toPath(), ATOMIC_MOVE)
    }
}
