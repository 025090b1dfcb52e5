/**
 * Captions the photos of a conformance folder with one of its files, and hands tokens and attention to
 * `conformance.mjs`. On WASM a greedy file is run by its own `caption`; all else is what the page does.
 */
import { Tensor, loadAndCompile } from '@litertjs/core';

import { Captioner, startRuntime, type Backend } from './captioner';
import { openModel, type ModelFile } from './modelFile';

interface Conformance {
  count: number;
  image_size: [number, number];
  files: Record<string, { max_length: number; locations: number }>;
}

/** The best caption of one photo; attention row by row. */
type Decode = (pixels: Uint8Array) => Promise<{ tokens: ArrayLike<number>; attention: ArrayLike<number> }>;

/**
 * Base64 of all photos' tokens (N, T) and attention (N, T, L), padded with zeros.
 *
 * @param name of the file's folder
 * @param file its name there
 */
async function run(backend: Backend, name: string, file: string): Promise<{ tokens: string; attention: string }> {
  const { count, image_size, files }: Conformance = await (await fetch('conformance/conformance.json')).json();
  const images = await fetchBytes('conformance/images.bin');
  const model = openModel(await fetchBytes(`conformance/${name}/${file}`), `${name}/${file}`);
  const { beam_width, no_repeat_ngram } = model.settings.search;
  const greedy = beam_width === 1 && !no_repeat_ngram;
  const decode = backend === 'wasm' && greedy ? await ownCaption(model) : await pagesCaption(model, backend);

  const { max_length: T, locations: L } = files[name];
  const tokens = new Int32Array(count * T);
  const attention = new Float32Array(count * T * L);
  const pixels = image_size[0] * image_size[1] * 3;
  for (let n = 0; n < count; n++) {
    const decoded = await decode(images.subarray(n * pixels, (n + 1) * pixels));
    tokens.set(decoded.tokens, n * T);
    attention.set(decoded.attention, n * T * L);
  }
  return { tokens: base64(tokens), attention: base64(attention) };
}

async function fetchBytes(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} is not there (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}

/** By the signature `caption`, on WASM. */
async function ownCaption({ bytes, settings }: ModelFile): Promise<Decode> {
  await startRuntime('wasm');
  const model = await loadAndCompile(bytes, { accelerator: 'wasm' });
  return async (pixels) => {
    const image = new Tensor(Float32Array.from(pixels), [1, ...settings.image_size, 3]);
    const outputs = await model.run('caption', { image });
    const tokens = (await outputs.tokens.data()) as Int32Array;
    const attention = (await outputs.attention.data()) as Float32Array;
    for (const tensor of [image, ...Object.values(outputs)]) tensor.delete();
    return { tokens, attention };
  };
}

/** By `encode` and `step`, with the file's search, as the page does it; a GPU that fails is an error here. */
async function pagesCaption(model: ModelFile, backend: Backend): Promise<Decode> {
  const captioner = await Captioner.load(model, backend, (notice) => {
    throw new Error(notice);
  });
  return async (pixels) => {
    const { tokens, attention } = await captioner.caption(pixels, {});
    return { tokens, attention: attention.flatMap((row) => [...row]) };
  };
}

function base64(array: Int32Array | Float32Array): string {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let binary = '';
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary);
}

Object.assign(window, { runConformance: run });
