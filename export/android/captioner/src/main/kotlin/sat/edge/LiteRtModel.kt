package sat.edge

import java.io.Closeable
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.gpu.GpuDelegateFactory

/** A model's signatures: named tensors in, named tensors out. */
internal class LiteRtModel(
    file: ByteBuffer,
    threads: Int,
    private val gpu: GpuDelegate? = null
) : Closeable {
    private val interpreter: Interpreter

    init {
        val options = Interpreter.Options().setNumThreads(threads)
        if (gpu != null) options.addDelegate(gpu)
        interpreter = Interpreter(file, options)
    }

    val signatures: Set<String> = interpreter.signatureKeys.toSet()

    /** Names of the tensors that go into a signature. */
    fun inputs(signature: String): Set<String> =
        interpreter.getSignatureInputs(signature).toSet()

    /** Names of the tensors that come out of a signature. */
    fun outputs(signature: String): Set<String> =
        interpreter.getSignatureOutputs(signature).toSet()

    /** How many numbers an output has. */
    fun size(signature: String, output: String): Int =
        interpreter.getOutputTensorFromSignature(output, signature).numBytes() / BYTES

    /** Buffers in are of exactly a tensor's size; every output comes in a buffer of its own. */
    fun run(signature: String, inputs: Map<String, ByteBuffer>): Map<String, ByteBuffer> {
        val outputs = outputs(signature).associate { it to numbers(size(signature, it)) }
        interpreter.runSignature(inputs, outputs, signature)
        // LiteRT leaves a buffer at its end. (Buffer's own `rewind`: ByteBuffer overrides it only
        // from Android 9 on.)
        for (buffer in outputs.values) (buffer as Buffer).rewind()
        return outputs
    }

    override fun close() {
        interpreter.close()
        gpu?.close()
    }

    companion object {
        private const val BYTES = 4 // of a float32 or an int32, the only types of a captioner

        /**
         * Whether the LiteRT that this library is built with is older than [version], such as
         * "2.1". An older one may caption a file with wrong words, without an error.
         */
        fun isOlderThan(version: String): Boolean {
            val (here, least) = listOf(BuildConfig.LITERT, version).map { each ->
                each.split(".").map { it.toInt() }
            }
            for (i in 0 until maxOf(here.size, least.size)) {
                val (one, other) = listOf(here, least).map { it.getOrElse(i) { 0 } }
                if (one != other) return one < other
            }
            return false
        }

        /**
         * The same on the GPU, in 32-bit floating point. Run it on the thread that made it.
         *
         * @throws IllegalStateException if LiteRT does not support this device's GPU.
         */
        fun onGpu(file: ByteBuffer, threads: Int): LiteRtModel {
            CompatibilityList().use {
                check(it.isDelegateSupportedOnThisDevice) { "LiteRT does not support this GPU" }
            }
            val options = GpuDelegateFactory.Options().setPrecisionLossAllowed(false)
            val gpu = GpuDelegate(options)
            try {
                return LiteRtModel(file, threads, gpu)
            } catch (error: Throwable) {
                gpu.close()
                throw error
            }
        }

        /** A buffer for [count] numbers, as LiteRT wants it. */
        fun numbers(count: Int): ByteBuffer =
            ByteBuffer.allocateDirect(count * BYTES).order(ByteOrder.nativeOrder())
    }
}

internal fun ByteBuffer.floats(): FloatArray =
    asFloatBuffer().let { from -> FloatArray(from.remaining()).also { from.get(it) } }

internal fun ByteBuffer.ints(): IntArray =
    asIntBuffer().let { from -> IntArray(from.remaining()).also { from.get(it) } }
