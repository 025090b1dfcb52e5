package sat.demo

import android.content.ActivityNotFoundException
import android.graphics.Bitmap
import android.graphics.ImageDecoder
import android.net.Uri
import android.os.Bundle
import android.text.SpannableString
import android.text.method.LinkMovementMethod
import android.text.style.ClickableSpan
import android.view.View
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.core.content.FileProvider
import java.io.File
import java.io.IOException
import java.util.concurrent.Executors
import sat.edge.Caption
import sat.edge.Captioner

/** One screen: a photo, its caption, and after a tap on a word where the model looked for it. */
class MainActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor() // the captioner's one thread
    private var captioner: Captioner? = null
    private lateinit var picture: AttentionView
    private lateinit var sentence: TextView

    private val gallery = registerForActivityResult(ActivityResultContracts.GetContent()) { uri ->
        if (uri != null) caption(uri)
    }
    private val camera = registerForActivityResult(ActivityResultContracts.TakePicture()) { taken ->
        if (taken) caption(cameraPhoto())
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        picture = findViewById(R.id.picture)
        sentence = findViewById(R.id.sentence)
        sentence.movementMethod = LinkMovementMethod.getInstance()
        findViewById<View>(R.id.gallery).setOnClickListener { open { gallery.launch("image/*") } }
        findViewById<View>(R.id.camera).setOnClickListener { open { camera.launch(cameraPhoto()) } }
    }

    override fun onDestroy() {
        worker.execute { captioner?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private fun open(launch: () -> Unit) =
        try {
            launch()
        } catch (error: ActivityNotFoundException) {
            sentence.setText(R.string.no_app)
        }

    private fun cameraPhoto(): Uri =
        FileProvider.getUriForFile(this, "$packageName.photos", File(cacheDir, "photo.jpg"))

    private fun caption(uri: Uri) {
        sentence.setText(R.string.looking)
        worker.execute {
            try {
                val photo = decode(uri)
                val captioner = captioner ?: Captioner.fromAssets(assets, "captioner.tflite")
                this.captioner = captioner
                val caption = captioner.caption(photo)
                runOnUiThread { show(photo, caption) }
            } catch (error: IllegalArgumentException) { // InputError, or LiteRT's
                runOnUiThread { sentence.text = error.message }
            } catch (error: IOException) {
                runOnUiThread { sentence.setText(R.string.no_photo) }
            }
        }
    }

    /** Upright: ImageDecoder applies the orientation that a camera wrote down. */
    private fun decode(uri: Uri): Bitmap =
        ImageDecoder.decodeBitmap(ImageDecoder.createSource(contentResolver, uri)) { decoder, _, _ ->
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
        }

    private fun show(photo: Bitmap, caption: Caption) {
        picture.show(photo)
        val text = SpannableString(caption.text)
        var from = 0
        caption.words.forEachIndexed { n, word ->
            val start = caption.text.indexOf(word, from)
            from = start + word.length
            val tap = object : ClickableSpan() {
                override fun onClick(widget: View) =
                    picture.show(photo, caption.attention[n], caption.grid, caption.regions)
            }
            text.setSpan(tap, start, from, 0)
        }
        sentence.text = text
        if (caption.isUnfamiliar) sentence.append("\n" + getString(R.string.unfamiliar))
    }
}
