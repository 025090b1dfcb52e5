package sat.edge

import kotlin.math.abs

private const val PRECISION = 32 - 8 - 2 // bits of a weight: Pillow's, for 8-bit pixels

/**
 * The one resize rule: the whole photo stretched, bilinear with antialiasing. The result is that of
 * Pillow's `Image.resize((toWidth, toHeight), Resampling.BILINEAR)`, bit for bit: a triangle as wide
 * as the photo is larger, first across, then down, each pass rounded to 8 bits. (Pillow 13 goes down
 * first where a photo loses over twice as many rows as columns; it is then one level apart at most.)
 *
 * The photo is read row by row and once, so that a large one is never held a second time.
 *
 * @param readRow fills an array of [width] with row y, each pixel 0xAARRGGBB; alpha is not read.
 * @return RGB, 0..255, [toHeight] x [toWidth] x 3.
 */
internal fun resize(
    height: Int,
    width: Int,
    toHeight: Int,
    toWidth: Int,
    readRow: (Int, IntArray) -> Unit
): ByteArray {
    val across = List(toWidth) { Triangle(width, toWidth, it) }
    val row = IntArray(width)
    val narrow = Array(height) { y ->
        readRow(y, row)
        ByteArray(toWidth * 3) { i ->
            val shift = 16 - 8 * (i % 3) // red, green, blue
            across[i / 3].sum { x -> row[x] shr shift and 255 }
        }
    }
    val resized = ByteArray(toHeight * toWidth * 3)
    for (y in 0 until toHeight) {
        val down = Triangle(height, toHeight, y)
        for (i in 0 until toWidth * 3) {
            resized[y * toWidth * 3 + i] = down.sum { narrow[it][i].toInt() and 255 }
        }
    }
    return resized
}

/** The weights of one output pixel, number [at] of [to], over [size] input pixels. */
private class Triangle(size: Int, to: Int, at: Int) {
    private val first: Int
    private val weights: IntArray // fixed point, 1 being 2^PRECISION

    init {
        val scale = size.toDouble() / to
        val support = maxOf(scale, 1.0)
        val center = (at + 0.5) * scale
        first = maxOf((center - support + 0.5).toInt(), 0)
        val end = minOf((center + support + 0.5).toInt(), size)
        val heights = DoubleArray(end - first) {
            maxOf(0.0, 1 - abs((it + first - center + 0.5) * (1 / support)))
        }
        val sum = heights.sum()
        weights = IntArray(heights.size) { (0.5 + heights[it] / sum * (1 shl PRECISION)).toInt() }
    }

    inline fun sum(pixel: (Int) -> Int): Byte {
        var sum = 1 shl (PRECISION - 1)
        for (i in weights.indices) sum += pixel(first + i) * weights[i]
        return (sum shr PRECISION).coerceIn(0, 255).toByte()
    }
}
