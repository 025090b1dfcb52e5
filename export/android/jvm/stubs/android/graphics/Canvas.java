package android.graphics;

public class Canvas {
    private final Bitmap bitmap;

    public Canvas(Bitmap bitmap) {
        this.bitmap = bitmap;
    }

    /** Of this test: at the origin only. */
    public void drawBitmap(Bitmap bitmap, float left, float top, Paint paint) {
        this.bitmap.draw(bitmap);
    }

    public native void drawBitmap(Bitmap bitmap, Rect source, RectF target, Paint paint);

    public native void translate(float x, float y);

    public native boolean clipRect(float left, float top, float right, float bottom);
}
