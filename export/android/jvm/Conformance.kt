package sat.edge

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import org.json.JSONObject

/**
 * Decodes a conformance folder's photos greedily by this module's own search, over a step that gives
 * back what the folder recorded of `step`; writes FOLDER/results/kotlin. Fails where a step is asked
 * for another word than the recorded one.
 */
object Conformance {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val folder = File(arguments.single())
        val settings = JSONObject(File(folder, "conformance.json").readText())
        val files = settings.getJSONArray("files")
        for (i in 0 until files.length()) {
            val from = File(folder, files.getString(i))
            val to = File(folder, "results/kotlin/${from.name}").apply { mkdirs() }
            decode(
                from,
                to,
                settings.getInt("count"),
                settings.getInt("max_length"),
                settings.getInt("locations"),
                settings.getInt("vocabulary_size")
            )
            println("${from.name}: ${settings.getInt("count")} photos")
        }
    }

    private fun decode(from: File, to: File, n: Int, t: Int, l: Int, v: Int) {
        val expected = read(File(from, "tokens.bin"), n * t).ints() // (N, T)
        val attention = read(File(from, "attention.bin"), n * t * l).floats() // (N, T, L)
        val logits = read(File(from, "logits.bin"), n * t * v).floats() // (N, T, V)
        val foundTokens = buffer(n * t)
        val foundAttention = buffer(n * t * l)
        for (photo in 0 until n) {
            val step = { token: Int, at: Int ->
                val row = photo * t + at
                val before = if (at == 0) START else expected[row - 1]
                check(token == before) {
                    "$from, photo $photo, step $at: after word $before, not $token"
                }
                Step(
                    logits.copyOfRange(row * v, (row + 1) * v),
                    at + 1,
                    attention.copyOfRange(row * l, (row + 1) * l)
                )
            }
            val best = beamSearch(step, 0, t, width = 1).single()
            best.tokens.forEachIndexed { at, token ->
                foundTokens.putInt((photo * t + at) * 4, token)
                best.attention[at].forEachIndexed { i, weight ->
                    foundAttention.putFloat(((photo * t + at) * l + i) * 4, weight)
                }
            }
        }
        write(File(to, "tokens.bin"), foundTokens)
        write(File(to, "attention.bin"), foundAttention)
    }

    private fun buffer(count: Int) = ByteBuffer.allocate(count * 4).order(ByteOrder.LITTLE_ENDIAN)

    private fun read(file: File, count: Int): ByteBuffer {
        val bytes = file.readBytes()
        check(bytes.size == count * 4) { "$file: ${bytes.size} bytes, not ${count * 4}" }
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
    }

    private fun write(file: File, numbers: ByteBuffer) {
        val temporary = File(file.path + ".part")
        temporary.writeBytes(numbers.array())
        Files.move(temporary.toPath(), file.toPath(), ATOMIC_MOVE)
    }
}
