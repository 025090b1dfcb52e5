package android.view;

public class View {
    public interface OnClickListener {
        void onClick(View view);
    }

    public View(android.content.Context context, android.util.AttributeSet attributes) {}

    public native void setOnClickListener(OnClickListener listener);

    public native void invalidate();

    public final native int getWidth();

    public final native int getHeight();

    protected void onDraw(android.graphics.Canvas canvas) {}
}
