package androidx.activity;

import androidx.activity.result.ActivityResultCallback;
import androidx.activity.result.ActivityResultLauncher;
import androidx.activity.result.contract.ActivityResultContract;

public class ComponentActivity extends android.content.Context {
    protected void onCreate(android.os.Bundle savedInstanceState) {}

    protected void onDestroy() {}

    public native void setContentView(int layout);

    public native <T extends android.view.View> T findViewById(int id);

    public final native void runOnUiThread(Runnable action);

    public final native <I, O> ActivityResultLauncher<I> registerForActivityResult(
            ActivityResultContract<I, O> contract, ActivityResultCallback<O> callback);

    @Override
    public native android.content.res.AssetManager getAssets();

    @Override
    public native android.content.ContentResolver getContentResolver();

    @Override
    public native java.io.File getCacheDir();

    @Override
    public native String getPackageName();
}
