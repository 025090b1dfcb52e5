package sat.edge

import android.content.res.AssetManager
import android.graphics.Bitmap
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONArray
import org.json.JSONObject

/**
 * Answers what the Python tests ask: reads FOLDER/questions.json, a list of objects each with a
 * `kind`, and writes FOLDER/answers.json, one answer each. Python knows what is right.
 */
object Answers {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val folder = File(arguments.single())
        val questions = JSONArray(File(folder, "questions.json").readText())
        val answers = JSONArray()
        for (i in 0 until questions.length()) {
            val question = questions.getJSONObject(i)
            val answer = JSONObject()
            try {
                when (val kind = question.getString("kind")) {
                    "resize" -> resized(question, answer)
                    "beams" -> beams(question, answer)
                    "sentence" -> answer.put(
                        "text", Caption.sentence(list(question.getJSONArray("words")))
                    )
                    "captions" -> captions(question, answer)
                    else -> throw IllegalArgumentException(kind)
                }
            } catch (error: InputError) {
                answer.put("error", error.message)
            }
            answers.put(answer)
        }
        File(folder, "answers.json").writeText(answers.toString())
    }

    private fun resized(question: JSONObject, answer: JSONObject) {
        val (height, width) = size(question)
        val to = question.getJSONArray("to")
        val colors = colors(File(question.getString("rgb")))
        val resized = resize(height, width, to.getInt(0), to.getInt(1)) { y, row ->
            colors.copyInto(row, 0, y * width, (y + 1) * width)
        }
        File(question.getString("out")).writeBytes(resized)
        answer.put("bytes", resized.size)
    }

    /** Over a table of logits (T, V, V): of step t after a token. */
    private fun beams(question: JSONObject, answer: JSONObject) {
        val words = question.getInt("words")
        val table = ByteBuffer.wrap(File(question.getString("table")).readBytes())
            .order(ByteOrder.LITTLE_ENDIAN).floats()
        val step = { token: Int, t: Int ->
            val row = (t * words + token) * words
            val attention = floatArrayOf(t.toFloat(), token.toFloat())
            Step(table.copyOfRange(row, row + words), t + 1, attention)
        }
        val search = Search(
            question.getInt("beam_width"),
            question.getDouble("length_penalty"),
            question.getInt("no_repeat_ngram"),
            question.getInt("n_best")
        )
        val found = beamSearch(step, 0, table.size / words / words, search)
        answer.put("beams", JSONArray(found.map {
            JSONObject()
                .put("tokens", JSONArray(it.tokens))
                .put("log_prob", it.logProb)
                .put("score", it.score(search.lengthPenalty))
                .put("attention", JSONArray(it.attention.map(::numbers)))
        }))
    }

    /**
     * Of a file and photos, by the class that apps use. `call` names its function: "caption", or
     * "beam_search"; fields of a search in the question replace the file's.
     */
    private fun captions(question: JSONObject, answer: JSONObject) {
        val accelerator = Accelerator.valueOf(question.optString("accelerator", "CPU"))
        val path = question.getString("file")
        val captioner = when {
            question.optBoolean("asset") ->
                Captioner.fromAssets(AssetManager(), path, accelerator = accelerator)
            else -> Captioner(File(path), accelerator = accelerator)
        }
        captioner.use {
            answer.put("fallback", captioner.fallback ?: JSONObject.NULL)
            answer.put("search", json(captioner.search))
            val photos = question.getJSONArray("photos")
            val found = JSONArray()
            for (i in 0 until photos.length()) {
                val captions = captions(captioner, photos.getJSONObject(i), question)
                found.put(JSONArray(captions.map(::json)))
            }
            answer.put("captions", found)
        }
    }

    private fun captions(
        captioner: Captioner,
        photo: JSONObject,
        question: JSONObject
    ): List<Caption> {
        val (height, width) = size(photo)
        val config = Bitmap.Config.valueOf(photo.optString("config", "ARGB_8888"))
        val colors = colors(File(photo.getString("rgb")))
        val bitmap = Bitmap.createBitmap(colors, width, height, config)
        val beamWidth = question.opt("beam_width") as Int?
        val lengthPenalty = (question.opt("length_penalty") as Number?)?.toDouble()
        val noRepeatNgram = question.opt("no_repeat_ngram") as Int?
        val nBest = question.opt("n_best") as Int?
        return when (val call = question.getString("call")) {
            "caption" ->
                listOf(captioner.caption(bitmap, beamWidth, lengthPenalty, noRepeatNgram))
            "caption_pixels" -> listOf(
                captioner.caption(
                    captioner.pixels(bitmap), beamWidth, lengthPenalty, noRepeatNgram
                )
            )
            "beam_search" ->
                captioner.beamSearch(bitmap, beamWidth, lengthPenalty, noRepeatNgram, nBest)
            else -> throw IllegalArgumentException(call)
        }
    }

    private fun json(search: Search) = JSONObject()
        .put("beam_width", search.beamWidth)
        .put("length_penalty", search.lengthPenalty)
        .put("no_repeat_ngram", search.noRepeatNgram)
        .put("n_best", search.nBest)

    private fun json(caption: Caption) = JSONObject()
        .put("text", caption.text)
        .put("words", JSONArray(caption.words))
        .put("tokens", JSONArray(caption.tokens.toList()))
        .put("log_prob", caption.logProb)
        .put("score", caption.score)
        .put("attention", JSONArray(caption.attention.map(::numbers)))
        .put("grid", JSONArray(listOf(caption.grid.rows, caption.grid.columns)))
        .put("regions", JSONArray(caption.regions.map(::numbers)))
        .put("confidence", caption.confidence ?: JSONObject.NULL)
        .put("familiarity", caption.familiarity ?: JSONObject.NULL)

    private fun numbers(values: FloatArray) = JSONArray(values.map { it.toDouble() })

    private fun size(photo: JSONObject) = Pair(photo.getInt("height"), photo.getInt("width"))

    /** Of a file of bytes, four a pixel: red, green, blue, alpha. */
    private fun colors(file: File): IntArray {
        val bytes = file.readBytes()
        return IntArray(bytes.size / 4) {
            val (red, green, blue, alpha) = bytes.copyOfRange(it * 4, it * 4 + 4).map { byte ->
                byte.toInt() and 255
            }
            alpha shl 24 or (red shl 16) or (green shl 8) or blue
        }
    }

    private fun list(array: JSONArray) = List(array.length()) { array.getString(it) }
}
