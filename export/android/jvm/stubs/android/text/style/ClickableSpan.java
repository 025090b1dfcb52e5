package android.text.style;

public abstract class ClickableSpan {
    public abstract void onClick(android.view.View widget);
}
