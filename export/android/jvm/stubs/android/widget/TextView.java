package android.widget;

public class TextView extends android.view.View {
    public TextView(android.content.Context context, android.util.AttributeSet attributes) {
        super(context, attributes);
    }

    public native CharSequence getText();

    public final native void setText(CharSequence text);

    public final native void setText(int resource);

    public final native void append(CharSequence text);

    public final native android.text.method.MovementMethod getMovementMethod();

    public final native void setMovementMethod(android.text.method.MovementMethod movement);
}
