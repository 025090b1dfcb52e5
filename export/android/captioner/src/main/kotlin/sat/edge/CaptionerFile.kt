package sat.edge

import java.io.ByteArrayInputStream
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipInputStream
import org.json.JSONObject

data class Grid(val rows: Int, val columns: Int)

/**
 * What a `captioner.tflite` holds beside its model: `vocabulary.txt` and `captioner.json`, in a
 * zip at its end.
 *
 * @property vocabulary id to word.
 * @property imageHeight, imageWidth the photo's size as the model sees it, in pixels.
 * @property weights the schemes of the encoder's and the decoder's weights, such as "int8".
 */
internal class CaptionerFile(
    val vocabulary: List<String>,
    val imageHeight: Int,
    val imageWidth: Int,
    val grid: Grid,
    val regions: List<FloatArray>,
    val maxLength: Int,
    val weights: List<String>
) {
    companion object {
        /**
         * @param file the whole file; its position is left as it is.
         * @param name what an error calls the file.
         * @throws InputError if nothing of the kind is inside.
         */
        fun read(file: ByteBuffer, name: String): CaptionerFile {
            try {
                val inside = appendedFiles(file)
                val settings = JSONObject(inside.getValue("captioner.json"))
                val (height, width) = settings.getJSONArray("image_size").let { ints(it::getInt) }
                val (rows, columns) = settings.getJSONArray("grid").let { ints(it::getInt) }
                val regions = settings.getJSONArray("regions")
                val weights = settings.optJSONObject("quantization")
                return CaptionerFile(
                    // No other splitting: a word may hold any other kind of line break.
                    inside.getValue("vocabulary.txt").removeSuffix("\n").split("\n"),
                    height,
                    width,
                    Grid(rows, columns),
                    List(regions.length()) { location ->
                        val region = regions.getJSONArray(location)
                        FloatArray(4) { region.getDouble(it).toFloat() }
                    },
                    settings.getInt("max_length"),
                    listOf("encoder", "decoder").mapNotNull { weights?.optString(it) }
                )
            } catch (error: Exception) { // of the zip, of JSON, of a name or an index not there
                throw InputError(
                    "$name: no captioner (no vocabulary inside); make one with `sat-keras export`",
                    error
                )
            }
        }

        private fun ints(get: (Int) -> Int) = Pair(get(0), get(1))

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

        private const val END_RECORD = 22 // bytes
        private const val LONGEST_COMMENT = 65535
        private const val END_SIGNATURE = 0x06054b50
    }
}
