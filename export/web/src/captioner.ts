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
import type { Search } from './settings';

export type Backend = 'webgpu' | 'wasm';

/** WebGPU where there is a real GPU for it; one in software is slower than WASM. */
export async function bestBackend(): Promise<Backend> {
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter && !adapter.info.isFallbackAdapter ? 'webgpu' : 'wasm';
}

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
  /** 0..1: the CIDEr to be expected, as a share of a person's. Undefined while words come, and without calibration. */
  confidence?: number;
  /** 0..1: the share of validation photos that are less like those of the training. Undefined likewise. */
  familiarity?: number;
  /** Milliseconds of `encode`, and of all steps together. */
  encodeTime: number;
  decodeTime: number;
}

/** A familiarity below this is worth a word: fewer than 1 in 50 validation photos are so unlike the training's. */
export const UNFAMILIAR = 0.02;

export interface CaptionOptions {
  /** Fields that replace those of the file's own search. */
  search?: Partial<Search>;
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

  private async search(pixels: Uint8Array, { search, onWord, signal }: CaptionOptions): Promise<Caption> {
    const { vocabulary, settings } = this.model;
    const { returned, kept } = settings.state;
    const { encode, step, confidence } = this.compiled.signatures;
    const times = { encodeTime: 0, decodeTime: 0 };
    const made: Tensor[] = []; // a few MB: deleted together at the caption's end

    const encodePhoto = async () => {
      const started = performance.now();
      const image = new Tensor(Float32Array.from(pixels), [1, ...settings.image_size, 3]);
      made.push(image);
      const outputs = await encode.run({ image });
      made.push(...Object.values(outputs));
      await Object.values(outputs)[0]?.data(); // a GPU is done only once something is read back
      times.encodeTime = performance.now() - started;
      return outputs;
    };
    const takeStep = async (id: number, state: Tensors) => {
      signal?.throwIfAborted();
      const started = performance.now();
      const token = new Tensor(Int32Array.of(id), [1]);
      made.push(token);
      const outputs = await step.run({ token, ...state });
      made.push(...Object.values(outputs));
      const logits = (await outputs.logits.data()) as Float32Array; // (V)
      const attention = (await outputs.attention.data()) as Float32Array; // (L)
      times.decodeTime += performance.now() - started;
      return { logits, attention, state: { ...state, ...pick(returned, (name) => outputs[name]) } };
    };
    /** Of a file that is calibrated; `docs/file-format.md` has the rule. */
    const trust = async ({ tokens, logProb }: Beam<Tensors>, encoded: Tensors) => {
      if (!confidence) return {};
      const expected = (await encoded.expected_words.data()) as Float32Array; // (W)
      const agreement = [...new Set(tokens)].reduce((sum, token) => sum + (expected[token] ?? 0), 0);
      const numbers = Object.entries({ log_prob: logProb, length: tokens.length, agreement });
      const inputs = numbers.map(([name, value]) => [name, new Tensor(Float32Array.of(value), [1])] as const);
      made.push(...inputs.map(([, tensor]) => tensor));
      const outputs = await confidence.run({ ...Object.fromEntries(inputs), outlook: encoded.outlook });
      made.push(...Object.values(outputs));
      const found = [outputs.confidence, encoded.familiarity].map(async (each) => (await each.data())[0]);
      const [sure, familiarity] = (await Promise.all(found)) as number[];
      return { confidence: sure, familiarity };
    };
    const tell = async (beam: Beam<Tensors>) => {
      onWord?.({ ...sentence(vocabulary, beam), ...times });
      await pagePaints();
    };

    try {
      const encoded = await encodePhoto();
      const state = pick([...returned, ...kept], (name) => encoded[name]);
      const best = await beamSearch(takeStep, state, {
        maxLength: settings.max_length,
        search: { ...settings.search, ...search },
        onWord: tell,
      });
      return { ...sentence(vocabulary, best), ...(await trust(best, encoded)), ...times };
    } finally {
      for (const tensor of made) tensor.delete();
    }
  }
}

/** By their names. */
type Tensors = Record<string, Tensor>;

function pick(names: string[], tensor: (name: string) => Tensor): Tensors {
  return Object.fromEntries(names.map((name) => [name, tensor(name)]));
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
    if (!fits(compiled, model)) {
      throw new InputError(
        `${model.name} is no captioner, or another one’s vocabulary and settings are inside: ` +
          'export it again with “sat-keras export”.',
      );
    }
    const { caption, encode, step } = compiled.signatures;
    // `caption` has a loop, which stays on the CPU; what is used here has to be on the GPU.
    const onGpu = caption ? [encode, step].every(runsOnGpu) : compiled.isFullyAccelerated;
    if (accelerator === 'webgpu' && !onGpu) throw new Error('not on the GPU');
    return compiled;
  } catch (error) {
    compiled.delete();
    throw error;
  }
}

/** Whether a model's signatures take and return what its vocabulary and settings say. */
function fits({ signatures }: CompiledModel, { vocabulary, settings }: ModelFile): boolean {
  const { encode, step, confidence } = signatures;
  if (!encode || !step) return false;
  const { returned, kept } = settings.state;
  const state = [...returned, ...kept];
  const first = lastSizes(encode.getOutputDetails());
  const next = lastSizes(step.getOutputDetails());
  return (
    next.get('logits') === vocabulary.length &&
    next.get('attention') === settings.regions.length &&
    state.every((name) => first.has(name)) &&
    (!confidence || ['familiarity', 'outlook', 'expected_words'].every((name) => first.has(name))) &&
    returned.every((name) => next.has(name)) &&
    step.getInputDetails().every(({ name }) => name === 'token' || state.includes(name))
  );
}

/** Of each tensor, by its name. */
function lastSizes(details: ReturnType<SignatureRunner['getOutputDetails']>): Map<string, number | undefined> {
  return new Map(details.map(({ name, shape }) => [name, shape.at(-1)]));
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
