package org.tensorflow.lite;

public interface Delegate extends java.io.Closeable {
    @Override
    void close();
}
