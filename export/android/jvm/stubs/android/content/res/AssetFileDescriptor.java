package android.content.res;

/** Of this test: a whole file, where a phone has a part of the app's package. */
public class AssetFileDescriptor implements java.io.Closeable {
    private final java.io.FileInputStream file;

    AssetFileDescriptor(java.io.FileInputStream file) {
        this.file = file;
    }

    public java.io.FileDescriptor getFileDescriptor() {
        try {
            return file.getFD();
        } catch (java.io.IOException error) {
            throw new IllegalStateException(error);
        }
    }

    public long getStartOffset() {
        return 0;
    }

    public long getDeclaredLength() {
        try {
            return file.getChannel().size();
        } catch (java.io.IOException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void close() throws java.io.IOException {
        file.close();
    }
}
