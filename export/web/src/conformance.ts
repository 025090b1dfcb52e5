/**
 * Captions the photos of a conformance folder and hands tokens and attention to `conformance.mjs`.
 * `wasm` runs the file's own `caption`; `webgpu` runs `encode` and `step`, greedily, from here.
 */
import { Tensor, getWebGpuDevice, loadAndCompile, loadLiteRt, type CompiledModel } from '@litertjs/core';

import { beamSearch } from './beamSearch';

interface Conformance {
  count: number;
  image_size: [number, number];
  max_length: number;
  locations: number;
}

type Decoded = { tokens: Int32Array; attention: Float32Array };

/** Base64 of all photos' tokens (N, T) and attention (N, T, L), padded with zeros. */
async function run(accelerator: 'wasm' | 'webgpu', modelUrl: string): Promise<{ tokens: string; attention: string }> {
  const conformance: Conformance = await (await fetch('conformance/conformance.json')).json();
  const images = new Uint8Array(await (await fetch('conformance/images.bin')).arrayBuffer());
  await loadLiteRt(new URL(__LITERT_FOLDER__, document.baseURI).href, { jspi: accelerator === 'webgpu' });
  const model = await loadAndCompile(modelUrl, { accelerator });
  if (accelerator === 'webgpu' && !(getWebGpuDevice() && model.isFullyAccelerated)) {
    throw new Error(`${modelUrl} does not run on WebGPU whole`);
  }
  const { count, image_size, max_length: T, locations: L } = conformance;
  const tokens = new Int32Array(count * T);
  const attention = new Float32Array(count * T * L);
  const pixels = image_size[0] * image_size[1] * 3;
  for (let n = 0; n < count; n++) {
    const photo = Float32Array.from(images.subarray(n * pixels, (n + 1) * pixels));
    const image = new Tensor(photo, [1, ...image_size, 3]);
    const decoded = accelerator === 'wasm' ? await caption(model, image) : await greedy(model, image, T);
    tokens.set(decoded.tokens, n * T);
    attention.set(decoded.attention, n * T * L);
  }
  return { tokens: base64(tokens), attention: base64(attention) };
}

async function caption(model: CompiledModel, image: Tensor): Promise<Decoded> {
  const outputs = await model.run('caption', { image });
  const tokens = (await outputs.tokens.data()) as Int32Array;
  const attention = (await outputs.attention.data()) as Float32Array;
  for (const tensor of [image, ...Object.values(outputs)]) tensor.delete();
  return { tokens, attention };
}

async function greedy(model: CompiledModel, image: Tensor, maxLength: number): Promise<Decoded> {
  const { annotations, projected, h, c } = await model.run('encode', { image });
  const best = await beamSearch(
    async (token, state: { h: Tensor; c: Tensor }) => {
      const id = new Tensor(Int32Array.of(token), [1]);
      const next = await model.run('step', { token: id, ...state, annotations, projected });
      const logits = (await next.logits.data()) as Float32Array;
      const attention = (await next.attention.data()) as Float32Array;
      for (const tensor of [id, state.h, state.c, next.logits, next.attention]) tensor.delete();
      return { logits, attention, state: { h: next.h, c: next.c } };
    },
    { h, c },
    { maxLength, width: 1, lengthPenalty: 0 },
  );
  for (const tensor of [image, annotations, projected, best.state.h, best.state.c]) tensor.delete();
  const rows = best.attention.flatMap((row) => [...row]);
  return { tokens: Int32Array.from(best.tokens), attention: Float32Array.from(rows) };
}

function base64(array: Int32Array | Float32Array): string {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let binary = '';
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary);
}

Object.assign(window, { runConformance: run });
