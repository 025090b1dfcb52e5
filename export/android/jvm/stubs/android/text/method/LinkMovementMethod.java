package android.text.method;

public class LinkMovementMethod implements MovementMethod {
    public static native MovementMethod getInstance();
}
