package sat.edge

import java.io.ByteArrayInputStream
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipInputStream
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

data class Grid(val rows: Int, val columns: Int)

/**
 * Which outputs of `encode` are the decoder's state, by their names.
 *
 * @property returned `step` takes and returns each of these: the next step takes what this one
 *   returned.
 * @property kept `step` takes these as `encode` gave them.
 */
internal class StateNames(val returned: List<String>, val kept: List<String>) {
    val all: List<String> get() = returned + kept
}

/**
 * What a `captioner.tflite` holds beside its model: `vocabulary.txt` and `captioner.json`, in a
 * zip at its end. `docs/file-format.md` describes every field.
 *
 * @property vocabulary id to word.
 * @property imageHeight, imageWidth the photo's size as the model sees it, in pixels.
 * @property regions one a location: (ymin, xmin, ymax, xmax), the photo being 0..1.
 * @property maxLength the most tokens of a caption, `<end>` counted.
 * @property search the file's default.
 * @property leastLiteRt the oldest LiteRT that runs the file correctly, such as "1.4".
 */
internal class CaptionerFile private constructor(
    val vocabulary: List<String>,
    val imageHeight: Int,
    val imageWidth: Int,
    val grid: Grid,
    val regions: List<FloatArray>,
    val maxLength: Int,
    val state: StateNames,
    val search: Search,
    val leastLiteRt: String
) {
    companion object {
        /**
         * @param file the whole file; its position is left as it is.
         * @param name what an error calls the file.
         * @throws InputError if it is no captioner, of another format, or a field is missing or
         *   out of its range.
         */
        fun read(file: ByteBuffer, name: String): CaptionerFile {
            val (words, settings) = try {
                val inside = appendedFiles(file)
                listOf("vocabulary.txt", "captioner.json").map { inside.getValue(it) }
            } catch (error: Exception) { // of the zip, of a position, or a name that is not there
                throw InputError(
                    "$name: no captioner (no vocabulary inside); make one with `sat-keras export`",
                    error
                )
            }
            try {
                return parse(words, Fields(settings))
            } catch (error: InputError) {
                throw InputError("$name: ${error.message}", error)
            }
        }

        private fun parse(words: String, fields: Fields): CaptionerFile {
            checkFormat(fields)
            val (height, width) = fields.sizes("image_size", 1..MOST_PIXELS)
            val (rows, columns) = fields.sizes("grid", 1..MOST_PIXELS)
            val vocabularySize = fields.whole("vocabulary_size", FEWEST_WORDS..Int.MAX_VALUE)
            val file = CaptionerFile(
                // No other splitting: a word may hold any other kind of line break.
                words.removeSuffix("\n").split("\n"),
                height,
                width,
                Grid(rows, columns),
                fields.regions("regions", rows * columns),
                fields.whole("max_length", 1..MOST_WORDS),
                fields.state("state"),
                fields.search("search"),
                fields.version("least_litert")
            )
            if (file.vocabulary.size != vocabularySize) {
                throw InputError(
                    "${file.vocabulary.size} words in its vocabulary, $vocabularySize in its " +
                        "settings; export it again"
                )
            }
            return file
        }

        private fun checkFormat(fields: Fields) {
            if ("format" !in fields) throw InputError("made by sat_keras 0.1; export it again")
            val format = fields.whole("format", 0..Int.MAX_VALUE)
            if (format != FORMAT) {
                throw InputError(
                    "its format is $format, and this version reads format $FORMAT; " +
                        "use a newer version of this library, or export it again"
                )
            }
            if (fields.text("resize") != RESIZE) {
                throw InputError("its resize rule is unknown; export it again")
            }
        }

        /**
         * Name to text of the files in the zip at the end. ZipFile would need a path, which a
         * memory-mapped asset has not, and ZipInputStream begins at the first byte, which here is
         * the model's: the zip's own directory says where its first entry lies.
         */
        private fun appendedFiles(file: ByteBuffer): Map<String, String> {
            val bytes = file.duplicate().order(ByteOrder.LITTLE_ENDIAN)
            val last = bytes.limit() - END_RECORD
            val end = (last downTo maxOf(0, last - LONGEST_COMMENT))
                .firstOrNull { bytes.getInt(it) == END_SIGNATURE } ?: return emptyMap()
            val directory = bytes.getInt(end + 16)
            val first = bytes.getInt(directory + 42)
            val zip = ByteArray(end - first)
            // Buffer's own `position`: ByteBuffer overrides it only from Android 9 on.
            (bytes as Buffer).position(first)
            bytes.get(zip)
            val found = mutableMapOf<String, String>()
            ZipInputStream(ByteArrayInputStream(zip)).use { stream ->
                while (true) {
                    val entry = stream.nextEntry ?: break
                    found[entry.name] = String(stream.readBytes(), Charsets.UTF_8)
                }
            }
            return found
        }

        private const val FORMAT = 1
        private const val RESIZE = "stretch, bilinear, antialiased"
        private const val MOST_PIXELS = 4096 // of a side
        private const val MOST_WORDS = 1000 // of a caption
        private const val FEWEST_WORDS = 5 // of a vocabulary: the special ones and one more

        private const val END_RECORD = 22 // bytes
        private const val LONGEST_COMMENT = 65535
        private const val END_SIGNATURE = 0x06054b50
    }
}

/**
 * Checked fields of `captioner.json`.
 *
 * @throws InputError if the text is not a JSON object, or from each function if the field is
 *   missing or out of its range. The message does not name the file: the caller knows it.
 */
private class Fields(text: String) {
    // `opt` is the one getter that does not take "3" or 3.7 for a 3.
    private val content = try {
        JSONObject(text)
    } catch (error: JSONException) {
        throw InputError("captioner.json is not a JSON object; export it again", error)
    } catch (error: StackOverflowError) { // of brackets in brackets
        throw InputError("captioner.json is not a JSON object; export it again", error)
    }

    operator fun contains(name: String) = content.has(name)

    fun text(name: String): String = content.opt(name) as? String ?: fail(name)

    fun whole(name: String, range: IntRange): Int = wholeIn(range, content.opt(name)) ?: fail(name)

    fun sizes(name: String, range: IntRange): List<Int> =
        list(content.opt(name), 2) { wholeIn(range, it) } ?: fail(name)

    fun regions(name: String, count: Int): List<FloatArray> =
        list(content.opt(name), count) { region ->
            list(region, 4) { finite(it)?.toFloat() }?.toFloatArray()
        } ?: fail(name)

    fun state(name: String): StateNames {
        val parts = content.opt(name) as? JSONObject
        val (returned, kept) = listOf("returned", "kept").map { part ->
            val names = parts?.opt(part) as? JSONArray
            list(names, names?.length()) { it as? String } ?: fail(name)
        }
        val found = StateNames(returned, kept)
        if (found.all.toSet().size != found.all.size) fail(name)
        return found
    }

    fun search(name: String): Search {
        val parts = content.opt(name) as? JSONObject ?: fail(name)
        fun whole(part: String) = parts.opt(part) as? Int ?: fail(name)
        val lengthPenalty = finite(parts.opt("length_penalty")) ?: fail(name)
        try {
            return Search(
                whole("beam_width"), lengthPenalty, whole("no_repeat_ngram"), whole("n_best")
            )
        } catch (error: InputError) {
            fail(name)
        }
    }

    fun version(name: String): String {
        val value = text(name)
        return if (VERSION.matches(value)) value else fail(name)
    }

    private fun fail(name: String): Nothing =
        throw InputError("captioner.json: $name is missing or out of its range; export it again")

    companion object {
        private val VERSION = Regex("[0-9]{1,4}(\\.[0-9]{1,4}){0,3}")

        private fun wholeIn(range: IntRange, value: Any?): Int? =
            (value as? Int)?.takeIf { it in range }

        private fun finite(value: Any?): Double? =
            (value as? Number)?.toDouble()?.takeIf { !it.isNaN() && !it.isInfinite() }

        /** The elements of a JSON list of [length], read by [read]; null if it or one is not so. */
        private fun <T : Any> list(value: Any?, length: Int?, read: (Any?) -> T?): List<T>? {
            if (value !is JSONArray || value.length() != length) return null
            val found = (0 until value.length()).mapNotNull { read(value.opt(it)) }
            return found.takeIf { it.size == length }
        }
    }
}
