package android.content;

public abstract class Context {
    public abstract android.content.res.AssetManager getAssets();
    public abstract ContentResolver getContentResolver();
    public abstract java.io.File getCacheDir();
    public abstract String getPackageName();
    public final native String getString(int resource);
}
