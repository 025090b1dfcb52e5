package sat.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.view.View
import sat.edge.Grid

/** A photo, and one word's attention laid over it. */
class AttentionView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val smooth = Paint(Paint.FILTER_BITMAP_FLAG)
    private var photo: Bitmap? = null
    private var heat: Bitmap? = null
    private var place = RectF() // of the heat, as parts of the photo

    fun show(photo: Bitmap) {
        this.photo = photo
        heat = null
        invalidate()
    }

    /** @param weights over the [grid], row by row; [regions] say where each lies. */
    fun show(photo: Bitmap, weights: FloatArray, grid: Grid, regions: List<FloatArray>) {
        this.photo = photo
        // fold: `max` is another function in each version of Kotlin.
        val highest = weights.fold(0f) { most, each -> maxOf(most, each) }
        val colors = IntArray(weights.size) {
            val opacity = (MOST_OPAQUE * weights[it] / highest).toInt()
            opacity shl 24 or COLOR
        }
        heat = Bitmap.createBitmap(colors, grid.columns, grid.rows, Bitmap.Config.ARGB_8888)
        place = around(grid, regions)
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val photo = photo ?: return
        val scale = minOf(width / photo.width.toFloat(), height / photo.height.toFloat())
        val across = photo.width * scale
        val down = photo.height * scale
        canvas.translate((width - across) / 2, (height - down) / 2)
        canvas.drawBitmap(photo, null, RectF(0f, 0f, across, down), smooth)
        val heat = heat ?: return
        canvas.clipRect(0f, 0f, across, down)
        val where = RectF(
            place.left * across, place.top * down, place.right * across, place.bottom * down
        )
        canvas.drawBitmap(heat, null, where, smooth)
    }

    private companion object {
        const val COLOR = 0xff4000 // red, green, blue
        const val MOST_OPAQUE = 200 // of 255

        /** The rectangle whose equal cells have the centres of the regions, overlapping or not. */
        fun around(grid: Grid, regions: List<FloatArray>): RectF {
            val (firstY, firstX) = center(regions.first())
            val (lastY, lastX) = center(regions.last())
            val y = if (grid.rows > 1) (lastY - firstY) / (grid.rows - 1) / 2 else 0.5f
            val x = if (grid.columns > 1) (lastX - firstX) / (grid.columns - 1) / 2 else 0.5f
            return RectF(firstX - x, firstY - y, lastX + x, lastY + y)
        }

        fun center(region: FloatArray): Pair<Float, Float> {
            val (ymin, xmin, ymax, xmax) = region
            return Pair((ymin + ymax) / 2, (xmin + xmax) / 2)
        }
    }
}
