package org.tensorflow.lite.gpu;

/** Of this test: what the property "gpu" says of the machine's GPU. */
public class CompatibilityList implements java.io.Closeable {
    public boolean isDelegateSupportedOnThisDevice() {
        return !System.getProperty("gpu", "none").equals("none");
    }

    @Override
    public void close() {}
}
