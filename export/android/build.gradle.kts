// The Android plugin brings Kotlin's compiler with it from version 9 on.
plugins {
    id("com.android.library") version "9.3.1" apply false
    id("com.android.application") version "9.3.1" apply false
}
