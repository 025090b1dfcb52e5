package sat.demo;

/** What the Android build makes of app/src/main/res. */
public final class R {
    public static final class id {
        public static final int picture = 0, sentence = 1, gallery = 2, camera = 3;
    }

    public static final class layout {
        public static final int main = 0;
    }

    public static final class string {
        public static final int looking = 0, no_app = 1, no_photo = 2, unfamiliar = 3;
    }
}
