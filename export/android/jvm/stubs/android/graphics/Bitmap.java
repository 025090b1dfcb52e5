package android.graphics;

/** Of this test: a picture in memory. */
public final class Bitmap {
    public enum Config { ARGB_8888, HARDWARE }

    private final int[] colors;
    private final int width;
    private final int height;
    private final Config config;

    private Bitmap(int[] colors, int width, int height, Config config) {
        this.colors = colors;
        this.width = width;
        this.height = height;
        this.config = config;
    }

    public static Bitmap createBitmap(int[] colors, int width, int height, Config config) {
        return new Bitmap(colors.clone(), width, height, config);
    }

    public static Bitmap createBitmap(int width, int height, Config config) {
        return new Bitmap(new int[width * height], width, height, config);
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }

    public Config getConfig() {
        return config;
    }

    public boolean hasAlpha() {
        for (int color : colors) if (color >>> 24 != 255) return true;
        return false;
    }

    public Bitmap copy(Config config, boolean isMutable) {
        return new Bitmap(colors.clone(), width, height, config);
    }

    public void eraseColor(int color) {
        java.util.Arrays.fill(colors, color);
    }

    public void getPixels(
            int[] pixels, int offset, int stride, int x, int y, int width, int height) {
        if (config == Config.HARDWARE) throw new IllegalStateException("unable to getPixels()");
        for (int row = 0; row < height; row++) {
            System.arraycopy(
                    colors, (y + row) * this.width + x, pixels, offset + row * stride, width);
        }
    }

    /** Lays another over this opaque one, as a canvas does. */
    void draw(Bitmap over) {
        for (int i = 0; i < colors.length; i++) {
            int alpha = over.colors[i] >>> 24;
            int color = 0xff;
            for (int shift = 16; shift >= 0; shift -= 8) {
                int one = over.colors[i] >> shift & 255;
                int other = colors[i] >> shift & 255;
                color = color << 8 | (one * alpha + other * (255 - alpha) + 127) / 255;
            }
            colors[i] = color;
        }
    }
}
