package android.text;

public class SpannableString implements Spannable {
    public SpannableString(CharSequence source) {}

    public native void setSpan(Object what, int start, int end, int flags);

    @Override
    public native int length();

    @Override
    public native char charAt(int index);

    @Override
    public native CharSequence subSequence(int start, int end);
}
