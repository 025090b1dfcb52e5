import {
  Tensor,
  TensorBufferType,
  getWebGpuDevice,
  loadAndCompile,
  loadLiteRt,
  type CompiledModel,
  type SignatureRunner,
} from '@litertjs/core';

import { END, beamSearch, type Beam } from './beamSearch';
import { InputError } from './inputError';
import type { ModelFile } from './modelFile';

export type Backend = 'webgpu' | 'wasm';

/** WebGPU where there is a real GPU for it; one in software is slower than WASM. */
export async function bestBackend(): Promise<Backend> {
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter && !adapter.info.isFallbackAdapter ? 'webgpu' : 'wasm';
}

/** What `sat_edge` calls `length_penalty`: 0.5 suits this project's captioners. */
export const LENGTH_PENALTY = 0.5;

export interface Caption {
  words: string[];
  /** The sentence. */
  text: string;
  /** Ids of the words, and of `<end>` if it was reached. */
  tokens: number[];
  /** Of each token: weights over the locations, sum 1. */
  attention: Float32Array[];
  /** Natural logarithm of the probability of all tokens. */
  logProb: number;
  /** Milliseconds of `encode`, and of all steps together. */
  encodeTime: number;
  decodeTime: number;
}

export interface CaptionOptions {
  /** Beams that are kept at each word; 1 is greedy. */
  width: number;
  /** Told the best caption so far after each word. */
  onWord?: (caption: Caption) => void;
  /** Ends the work with an `AbortError` before the next step. */
  signal?: AbortSignal;
}

/**
 * Captions photos with one model: on WebGPU where that is wanted and works, else on WASM. When WebGPU
 * fails, the caption in hand is finished on WASM, and all later ones are made there.
 */
export class Captioner {
  private constructor(
    readonly model: ModelFile,
    private compiled: CompiledModel,
    public backend: Backend,
    private readonly say: (notice: string) => void,
  ) {}

  /**
   * @param wanted the backend to try first
   * @param say told in one line why WebGPU is not used, or no longer
   * @throws InputError if the file holds no such model
   */
  static async load(model: ModelFile, wanted: Backend, say: (notice: string) => void): Promise<Captioner> {
    await startRuntime(wanted);
    if (wanted === 'webgpu' && !getWebGpuDevice()) {
      say('No WebGPU here: captions are made on WASM.');
    } else if (wanted === 'webgpu') {
      try {
        return new Captioner(model, await compile(model, 'webgpu'), 'webgpu', say);
      } catch (error) {
        if (error instanceof InputError) throw error;
        console.warn(error);
        say('This model does not run on WebGPU: captions are made on WASM.');
      }
    }
    return new Captioner(model, await compile(model, 'wasm'), 'wasm', say);
  }

  /** @param pixels RGB, 0..255, in the model's size */
  async caption(pixels: Uint8Array, options: CaptionOptions): Promise<Caption> {
    if (this.backend === 'webgpu') {
      try {
        return await Promise.race([this.search(pixels, options), deviceLost()]);
      } catch (error) {
        options.signal?.throwIfAborted();
        console.warn(error);
        this.compiled = await compile(this.model, 'wasm');
        this.backend = 'wasm';
        this.say('WebGPU was lost: captions are made on WASM from here on.');
      }
    }
    return this.search(pixels, options);
  }

  delete(): void {
    this.compiled.delete();
  }

  private async search(pixels: Uint8Array, { width, onWord, signal }: CaptionOptions): Promise<Caption> {
    const { image_size, max_length } = this.model.settings;
    const { encode, step } = this.compiled.signatures;
    const tensors: Tensor[] = []; // all of one caption, a few MB: deleted together at its end
    const times = { encodeTime: 0, decodeTime: 0 };

    const run = async (signature: SignatureRunner, inputs: Record<string, Tensor>) => {
      tensors.push(...Object.values(inputs));
      const outputs = await signature.run(inputs);
      tensors.push(...Object.values(outputs));
      return outputs;
    };
    const takeStep = async (token: number, { h, c }: State) => {
      signal?.throwIfAborted();
      const started = performance.now();
      const next = await run(step, { token: new Tensor(Int32Array.of(token), [1]), h, c, annotations, projected });
      const logits = (await next.logits.data()) as Float32Array; // (V)
      const attention = (await next.attention.data()) as Float32Array; // (L)
      times.decodeTime += performance.now() - started;
      return { logits, attention, state: { h: next.h, c: next.c } };
    };
    const tell = async (beam: Beam<State>) => {
      onWord?.({ ...sentence(this.model.vocabulary, beam), ...times });
      await pagePaints();
    };

    const started = performance.now();
    const image = new Tensor(Float32Array.from(pixels), [1, ...image_size, 3]);
    const { annotations, projected, h, c } = await run(encode, { image });
    await h.data(); // a GPU is done only once something is read back
    times.encodeTime = performance.now() - started;
    try {
      const options = { maxLength: max_length, width, lengthPenalty: LENGTH_PENALTY, onWord: tell };
      const best = await beamSearch<State>(takeStep, { h, c }, options);
      return { ...sentence(this.model.vocabulary, best), ...times };
    } finally {
      for (const tensor of new Set(tensors)) tensor.delete();
    }
  }
}

/** The LSTM's. */
interface State {
  h: Tensor;
  c: Tensor;
}

/** A beam as a caption, joined as `sat_edge` joins: "n't" and "'s" are words of their own. */
function sentence(vocabulary: string[], { tokens, attention, logProb }: Beam<unknown>) {
  const words = tokens.filter((token) => token !== END).map((token) => vocabulary[token]);
  const text = words.join(' ').replaceAll(" n't", "n't").replaceAll(" '", "'");
  return { words, text, tokens, attention, logProb };
}

let runtime: Promise<unknown> | undefined;

/**
 * Loads LiteRT.js, once, from its folder beside the page; `Captioner.load` waits for it. Only its build
 * with JSPI works with WebGPU.
 */
export function startRuntime(wanted: Backend): Promise<unknown> {
  const folder = new URL(__LITERT_FOLDER__, document.baseURI).href;
  runtime ??= loadLiteRt(folder, { jspi: wanted === 'webgpu' && 'Suspending' in WebAssembly }).catch((cause) => {
    runtime = undefined; // the next model tries again
    throw new InputError('LiteRT.js could not be loaded: check the connection, and load the page again.', { cause });
  });
  return runtime;
}

async function compile(model: ModelFile, accelerator: Backend): Promise<CompiledModel> {
  let compiled: CompiledModel;
  try {
    compiled = await loadAndCompile(model.bytes, { accelerator });
  } catch (error) {
    if (accelerator === 'webgpu') throw error;
    throw new InputError(`${model.name} is damaged: export it again with “sat-keras export”.`, { cause: error });
  }
  try {
    const { encode, step } = compiled.signatures;
    const words = step?.getOutputDetails().find(({ name }) => name === 'logits')?.shape.at(-1);
    if (!encode || words !== model.vocabulary.length) {
      throw new InputError(
        `${model.name} is no captioner, or its vocabulary is not its own: export it again with “sat-keras export”.`,
      );
    }
    // `caption` has a loop, which stays on the CPU; what is used here has to be on the GPU.
    if (accelerator === 'webgpu' && ![encode, step].every(runsOnGpu)) throw new Error('not on the GPU');
    return compiled;
  } catch (error) {
    compiled.delete();
    throw error;
  }
}

function runsOnGpu(signature: SignatureRunner): boolean {
  const details = [...signature.getInputDetails(), ...signature.getOutputDetails()];
  return details.every(({ supportedBufferTypes }) => supportedBufferTypes.has(TensorBufferType.WEB_GPU_BUFFER_PACKED));
}

/** Rejects when the GPU goes away: a reset driver, a laptop that changes GPUs, a tab that slept. */
async function deviceLost(): Promise<never> {
  const { message } = await getWebGpuDevice()!.lost;
  throw new Error(message);
}

/** Lets the browser draw, and hear the user, between two words. */
function pagePaints(): Promise<void> {
  return 'scheduler' in window && 'yield' in (window.scheduler as Scheduler)
    ? (window.scheduler as Scheduler).yield()
    : new Promise((resolve) => setTimeout(resolve));
}

interface Scheduler {
  yield(): Promise<void>;
}
