plugins {
    id("com.android.application")
}

android {
    namespace = "sat.demo"
    compileSdk = 36
    defaultConfig {
        applicationId = "sat.demo"
        minSdk = 28 // ImageDecoder
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    androidResources {
        noCompress += "tflite" // a compressed asset cannot be memory-mapped
    }
}

dependencies {
    implementation(project(":captioner"))
    implementation("androidx.activity:activity:1.10.1")
    implementation("androidx.core:core:1.16.0")
}
