package org.tensorflow.lite;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Of this test: LiteRT's Interpreter by its Python package, which litert.py runs in a process of its
 * own. Buffers are checked and left behind as LiteRT's own Java class does it.
 */
public final class Interpreter implements AutoCloseable {
    public static class Options {
        private int threads = 1;
        private boolean gpu;

        public Options setNumThreads(int threads) {
            this.threads = threads;
            return this;
        }

        /** Of this test: the property "gpu" says how well the delegate does. */
        public Options addDelegate(Delegate delegate) {
            gpu = true;
            return this;
        }
    }

    private final Process python;
    private final DataInputStream answers;
    private final DataOutputStream questions;
    private final Map<String, Map<String, Integer>> inputs = new LinkedHashMap<>();
    private final Map<String, Map<String, Integer>> outputs = new LinkedHashMap<>();
    private final String gpu;

    public Interpreter(ByteBuffer model, Options options) {
        if (!(model instanceof MappedByteBuffer) && !isNative(model)) {
            throw new IllegalArgumentException("Model ByteBuffer should be mapped or direct");
        }
        gpu = options.gpu ? System.getProperty("gpu") : "";
        if (gpu.equals("refuses")) throw new IllegalArgumentException("operator not supported");
        try {
            File file = File.createTempFile("model", ".tflite");
            file.deleteOnExit();
            try (FileOutputStream stream = new FileOutputStream(file)) {
                stream.getChannel().write(model.duplicate());
            }
            python = new ProcessBuilder(
                    System.getProperty("python"), System.getProperty("litert"),
                    file.getPath(), String.valueOf(options.threads))
                    .redirectError(ProcessBuilder.Redirect.INHERIT).start();
            answers = new DataInputStream(new BufferedInputStream(python.getInputStream()));
            questions = new DataOutputStream(new BufferedOutputStream(python.getOutputStream()));
            if (!answers.readBoolean()) throw new IllegalArgumentException("not a valid model");
            for (int left = answers.readInt(); left > 0; left--) {
                String signature = answers.readUTF();
                inputs.put(signature, readSizes());
                outputs.put(signature, readSizes());
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    public String[] getSignatureKeys() {
        return outputs.keySet().toArray(new String[0]);
    }

    public String[] getSignatureInputs(String signature) {
        return inputs.get(signature).keySet().toArray(new String[0]);
    }

    public String[] getSignatureOutputs(String signature) {
        return outputs.get(signature).keySet().toArray(new String[0]);
    }

    public Tensor getOutputTensorFromSignature(String output, String signature) {
        return () -> outputs.get(signature).get(output);
    }

    public void runSignature(
            Map<String, Object> inputs, Map<String, Object> outputs, String signature) {
        try {
            questions.writeUTF(signature);
            for (Map.Entry<String, Integer> input : this.inputs.get(signature).entrySet()) {
                ByteBuffer buffer = (ByteBuffer) inputs.get(input.getKey());
                if (!isNative(buffer) || buffer.capacity() != input.getValue()) {
                    throw new IllegalArgumentException("Cannot copy to " + input.getKey());
                }
                byte[] bytes = new byte[buffer.capacity()];
                for (int i = 0; i < bytes.length; i++) bytes[i] = buffer.get(i);
                questions.write(bytes);
            }
            if (inputs.size() != this.inputs.get(signature).size()) {
                throw new IllegalArgumentException("Input error: too many inputs");
            }
            questions.flush();
            for (Map.Entry<String, Integer> output : this.outputs.get(signature).entrySet()) {
                byte[] bytes = new byte[output.getValue()];
                answers.readFully(bytes);
                // The first number goes wrong, as with some drivers: an exponent's bit, or NaN.
                if (gpu.equals("wrong")) bytes[3] ^= 1;
                if (gpu.equals("nan")) bytes[2] = bytes[3] = 0x7f;
                ((ByteBuffer) outputs.get(output.getKey())).put(bytes);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    @Override
    public void close() {
        python.destroy();
    }

    private static boolean isNative(ByteBuffer buffer) {
        return buffer.isDirect() && buffer.order() == ByteOrder.nativeOrder();
    }

    /** Name to bytes. */
    private Map<String, Integer> readSizes() throws IOException {
        Map<String, Integer> sizes = new LinkedHashMap<>();
        for (int left = answers.readInt(); left > 0; left--) {
            sizes.put(answers.readUTF(), answers.readInt());
        }
        return sizes;
    }
}
