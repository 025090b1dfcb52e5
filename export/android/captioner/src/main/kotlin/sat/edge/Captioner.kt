package sat.edge

import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import java.io.Closeable
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import kotlin.math.abs

enum class Accelerator { CPU, GPU }

/**
 * Captions photos with one `captioner.tflite`, vocabulary and settings inside it, by LiteRT.
 *
 *     val captioner = Captioner.fromAssets(context.assets, "captioner.tflite")
 *     val caption = captioner.caption(bitmap)
 *     println(caption.text)
 *
 * It is not safe for several threads at once, and on the GPU it must be made, used and closed on
 * one thread: give it one of its own.
 *
 * @param file the whole file, memory-mapped, or a direct buffer in native order.
 * @param name what an error calls the file.
 * @param threads of the CPU. Defaults to 1.
 * @param accelerator where it is to run. The GPU takes a file with `encode` and `step` alone, as
 *   `export_tflite(..., target="gpu")` writes it; where the GPU does not run it, or gives other
 *   numbers than the CPU, the CPU captions and [fallback] says why. Defaults to the CPU.
 * @throws InputError if the file is no captioner, or needs a newer LiteRT.
 */
class Captioner(
    file: ByteBuffer,
    name: String = "model",
    threads: Int = 1,
    accelerator: Accelerator = Accelerator.CPU
) : Closeable {
    private val inside = CaptionerFile.read(file, name)
    private var model: LiteRtModel

    /** Id to word. */
    val vocabulary: List<String> get() = inside.vocabulary

    /** Height of the photo as the model sees it, in pixels. */
    val imageHeight: Int get() = inside.imageHeight

    /** Width of the photo as the model sees it, in pixels. */
    val imageWidth: Int get() = inside.imageWidth

    /** The file's search: the default of [caption] and [beamSearch]. */
    val search: Search get() = inside.search

    /** Why the GPU was asked for and is not used; null otherwise. */
    val fallback: String?

    init {
        if (LiteRtModel.isOlderThan(inside.leastLiteRt)) {
            throw InputError(
                "$name: needs LiteRT ${inside.leastLiteRt}, and this library is built with " +
                    "${BuildConfig.LITERT}; export it with other weights, such as int8"
            )
        }
        try {
            model = LiteRtModel(file, threads)
        } catch (error: IllegalArgumentException) {
            throw InputError("$name: damaged file; export it again", error)
        }
        val fault = fault()
        if (fault != null) {
            model.close()
            throw InputError("$name: $fault; export it again")
        }
        fallback = if (accelerator == Accelerator.GPU) moveToGpu(file, threads) else null
    }

    /** @param file of the device's storage, such as one that was downloaded. */
    constructor(file: File, threads: Int = 1, accelerator: Accelerator = Accelerator.CPU) :
        this(map(file), file.path, threads, accelerator)

    override fun close() = model.close()

    /**
     * The best caption of one photo. Each argument replaces one field of [search]. A greedy search
     * runs the signature `caption` where the file has it; any other runs `encode` and `step`.
     *
     * @param photo of any size; where it is transparent it becomes white.
     * @param beamWidth, lengthPenalty, noRepeatNgram see [Search]; `beamWidth = 1` is greedy.
     *   They default to null: as in the file.
     * @throws InputError for a search that cannot be.
     */
    fun caption(
        photo: Bitmap,
        beamWidth: Int? = null,
        lengthPenalty: Double? = null,
        noRepeatNgram: Int? = null
    ): Caption = caption(pixels(photo), beamWidth, lengthPenalty, noRepeatNgram)

    /** The same of [pixels] that a camera gives: [imageHeight] x [imageWidth] x 3, RGB. */
    fun caption(
        pixels: ByteArray,
        beamWidth: Int? = null,
        lengthPenalty: Double? = null,
        noRepeatNgram: Int? = null
    ): Caption {
        val how = searchWith(beamWidth, lengthPenalty, noRepeatNgram, nBest = 1)
        if (!how.isGreedy || "caption" !in model.signatures) return beamSearch(pixels, how)[0]
        val outputs = model.run("caption", mapOf("image" to image(pixels)))
        val tokens = outputs.getValue("tokens").ints() // (T)
        val attention = outputs.getValue("attention").floats() // (T, L)
        val logProb = outputs.getValue("log_prob").floats()[0].toDouble()
        val locations = attention.size / tokens.size
        val rows = List(tokens.size) {
            attention.copyOfRange(it * locations, (it + 1) * locations)
        }
        val trust = if (!isCalibrated) null else Trust(
            outputs.getValue("confidence").floats()[0].toDouble(),
            outputs.getValue("familiarity").floats()[0].toDouble()
        )
        return Caption.fromDecoder(inside, tokens, rows, logProb, logProb, trust)
    }

    /**
     * The n best captions of one photo, the best first. It runs `encode` and `step`.
     *
     * @param photo, beamWidth, lengthPenalty, noRepeatNgram see [caption].
     * @param nBest see [Search]. Defaults to null: as in the file.
     * @throws InputError for a search that cannot be.
     */
    fun beamSearch(
        photo: Bitmap,
        beamWidth: Int? = null,
        lengthPenalty: Double? = null,
        noRepeatNgram: Int? = null,
        nBest: Int? = null
    ): List<Caption> = beamSearch(pixels(photo), beamWidth, lengthPenalty, noRepeatNgram, nBest)

    /** The same of [pixels], see [caption]. */
    fun beamSearch(
        pixels: ByteArray,
        beamWidth: Int? = null,
        lengthPenalty: Double? = null,
        noRepeatNgram: Int? = null,
        nBest: Int? = null
    ): List<Caption> =
        beamSearch(pixels, searchWith(beamWidth, lengthPenalty, noRepeatNgram, nBest))

    private fun searchWith(
        beamWidth: Int?,
        lengthPenalty: Double?,
        noRepeatNgram: Int?,
        nBest: Int?
    ) = Search(
        beamWidth ?: search.beamWidth,
        lengthPenalty ?: search.lengthPenalty,
        noRepeatNgram ?: search.noRepeatNgram,
        nBest ?: search.nBest
    )

    private fun beamSearch(pixels: ByteArray, how: Search): List<Caption> {
        val encoded = encode(model, pixels)
        val found = beamSearch(
            { token, state: Map<String, ByteBuffer> -> step(model, token, state) },
            firstState(encoded),
            inside.maxLength,
            how
        )
        return found.map {
            Caption.fromDecoder(
                inside,
                it.tokens.toIntArray(),
                it.attention,
                it.logProb,
                it.score(how.lengthPenalty),
                trust(it, encoded)
            )
        }
    }

    private val isCalibrated get() = "confidence" in model.signatures

    /** By the signature `confidence`; `docs/file-format.md` has the rule. */
    private fun trust(beam: Beam<*>, encoded: Map<String, ByteBuffer>): Trust? {
        if (!isCalibrated) return null
        val expected = encoded.getValue("expected_words").floats() // (W)
        val agreement = beam.tokens.toSet().filter { it < expected.size }
            .fold(0f) { sum, token -> sum + expected[token] }
        val numbers = mapOf(
            "log_prob" to beam.logProb.toFloat(),
            "length" to beam.tokens.size.toFloat(),
            "agreement" to agreement
        ).mapValues { LiteRtModel.numbers(1).putFloat(0, it.value) }
        val outputs = model.run("confidence", numbers + pick(encoded, listOf("outlook")))
        return Trust(
            outputs.getValue("confidence").floats()[0].toDouble(),
            encoded.getValue("familiarity").floats()[0].toDouble()
        )
    }

    private fun pick(tensors: Map<String, ByteBuffer>, names: List<String>) =
        names.associateWith { tensors.getValue(it) }

    /** A photo as the model sees it: [imageHeight] x [imageWidth] x 3, RGB, 0..255. */
    fun pixels(photo: Bitmap): ByteArray {
        var opaque = photo
        if (photo.config == Bitmap.Config.HARDWARE) { // whose pixels the CPU does not see
            opaque = photo.copy(Bitmap.Config.ARGB_8888, false)
                ?: throw InputError("no memory for a photo of ${photo.width} x ${photo.height}")
        }
        if (opaque.hasAlpha()) opaque = onWhite(opaque)
        return resize(opaque.height, opaque.width, imageHeight, imageWidth) { y, row ->
            opaque.getPixels(row, 0, opaque.width, 0, y, opaque.width, 1)
        }
    }

    private fun onWhite(photo: Bitmap): Bitmap {
        val opaque = Bitmap.createBitmap(photo.width, photo.height, Bitmap.Config.ARGB_8888)
        opaque.eraseColor(Color.WHITE)
        Canvas(opaque).drawBitmap(photo, 0f, 0f, null)
        return opaque
    }

    private fun image(pixels: ByteArray): ByteBuffer {
        val expected = imageHeight * imageWidth * 3
        if (pixels.size != expected) {
            throw InputError(
                "${pixels.size} bytes are no photo: $imageHeight x $imageWidth x 3, RGB"
            )
        }
        val image = LiteRtModel.numbers(expected) // (1, H, W, 3)
        for (i in pixels.indices) image.putFloat(i * 4, (pixels[i].toInt() and 255).toFloat())
        return image
    }

    /** How the model and the file's settings contradict each other, or null. */
    private fun fault(): String? {
        val signatures = setOf("encode", "step") - model.signatures
        if (signatures.isNotEmpty()) return "no signature ${signatures.joinToString()} in its model"
        val state = inside.state
        val fits = model.outputs("encode").containsAll(state.all) &&
            model.outputs("step").containsAll(state.returned + "logits" + "attention") &&
            model.inputs("step") == state.all.toSet() + "token" &&
            (!isCalibrated || model.outputs("encode").containsAll(TRUST))
        if (!fits) return "its model has another state than its settings"
        val words = model.size("step", "logits")
        if (words == vocabulary.size) return null
        return "${vocabulary.size} words in its vocabulary, $words in its model"
    }

    private fun encode(model: LiteRtModel, pixels: ByteArray): Map<String, ByteBuffer> =
        model.run("encode", mapOf("image" to image(pixels)))

    /** What a search begins with: of `encode`'s outputs those that are the state. */
    private fun firstState(encoded: Map<String, ByteBuffer>) = pick(encoded, inside.state.all)

    private fun step(
        model: LiteRtModel,
        token: Int,
        state: Map<String, ByteBuffer>
    ): Step<Map<String, ByteBuffer>> {
        val input = LiteRtModel.numbers(1).putInt(0, token)
        val outputs = model.run("step", state + ("token" to input))
        val returned = inside.state.returned.associateWith { outputs.getValue(it) }
        return Step(
            outputs.getValue("logits").floats(),
            state + returned,
            outputs.getValue("attention").floats()
        )
    }

    /** Returns why not, or null when [model] is on the GPU. */
    private fun moveToGpu(file: ByteBuffer, threads: Int): String? {
        if ("caption" in model.signatures) {
            return "the file has the loop `caption`, which no GPU runs; " +
                "export one with target=\"gpu\""
        }
        try {
            val gpu = LiteRtModel.onGpu(file, threads)
            try {
                val difference = logits(gpu).zip(logits(model)) { one, other -> abs(one - other) }
                    .fold(0f) { most, each -> maxOf(most, each) } // NaN if any is
                if (difference <= TOLERANCE) {
                    model.close()
                    model = gpu
                    return null
                }
                return "the GPU's numbers differ from the CPU's by $difference"
            } finally {
                if (model !== gpu) gpu.close()
            }
        } catch (error: Exception) { // LiteRT's: an operator or a driver fails
            return error.message ?: error.toString()
        } catch (error: LinkageError) { // an app without litert-gpu, or without its library
            return error.toString()
        }
    }

    /** The first word's logits, of a picture that has every value and edges everywhere. */
    private fun logits(model: LiteRtModel): List<Float> {
        val picture = ByteArray(imageHeight * imageWidth * 3) { (it * it % 251).toByte() }
        return step(model, START, firstState(encode(model, picture))).logits.toList()
    }

    companion object {
        private val TRUST = listOf("familiarity", "outlook", "expected_words")
        private const val TOLERANCE = 0.01f // of logits; GPUs and CPUs add in another order

        /**
         * From an app's assets, memory-mapped: nothing is copied.
         *
         * @param path of the asset, such as `captioner.tflite`.
         * @param threads, accelerator see [Captioner].
         */
        fun fromAssets(
            assets: AssetManager,
            path: String,
            threads: Int = 1,
            accelerator: Accelerator = Accelerator.CPU
        ): Captioner {
            val file = try {
                assets.openFd(path).use { asset ->
                    FileInputStream(asset.fileDescriptor).use {
                        map(it.channel, asset.startOffset, asset.declaredLength)
                    }
                }
            } catch (error: IOException) {
                throw InputError(
                    "assets/$path: not there, or compressed; put it in src/main/assets, " +
                        "with the ending .tflite",
                    error
                )
            }
            return Captioner(file, "assets/$path", threads, accelerator)
        }

        private fun map(file: File): ByteBuffer {
            if (!file.isFile) throw InputError("$file: no such file")
            try {
                return FileInputStream(file).use { map(it.channel, 0, file.length()) }
            } catch (error: IOException) {
                throw InputError("$file: cannot be read", error)
            }
        }

        private fun map(channel: FileChannel, start: Long, length: Long): ByteBuffer =
            channel.map(FileChannel.MapMode.READ_ONLY, start, length)
                .order(ByteOrder.nativeOrder())
    }
}
