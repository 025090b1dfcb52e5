plugins {
    id("com.android.library")
}

// The last line of LiteRT whose Interpreter has a GPU: LiteRT 2 has it in CompiledModel alone.
val litert = "1.4.2"

android {
    namespace = "sat.edge"
    compileSdk = 36
    defaultConfig {
        minSdk = 26
        // Files that need a newer one are refused.
        buildConfigField("String", "LITERT", "\"$litert\"")
    }
    buildFeatures {
        buildConfig = true
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    implementation("com.google.ai.edge.litert:litert:$litert")
    implementation("com.google.ai.edge.litert:litert-gpu:$litert")
    implementation("com.google.ai.edge.litert:litert-gpu-api:$litert")
}
