/** The captioner by itself in Chromium, against Keras. From the sources, not the built page. */
import { readFileSync } from 'node:fs';

import type { Tensor } from '@litertjs/core';
import type { Browser } from 'playwright-core';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { launchChromium } from '../../chromium.mjs';
import { fixture } from '../fixtures';

const photos = ['shapes-2.png', 'shapes-7.png', 'turned.jpg'];
interface Wanted {
  model: string;
  photo: string;
  text: string;
  log_prob: number;
  /** Null of a file that was never calibrated. */
  confidence: number | null;
  familiarity: number | null;
}
const wanted: Wanted[] = JSON.parse(readFileSync(fixture('defaults.json'), 'utf8'));

let server: ViteDevServer;
let browser: Browser;

beforeAll(async () => {
  server = await createServer({ server: { port: 0 }, logLevel: 'warn' });
  await server.listen();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

const base64 = (path: string) => readFileSync(fixture(path)).toString('base64');

/** Captions with the file's search; and of each photo's tensors, how many there were and how many are left. */
async function captionInChromium(model: string) {
  const page = await browser.newPage();
  await page.goto(`${server.resolvedUrls!.local[0]}conformance.html`);
  const content = `
    import { Captioner } from '/src/captioner.ts';
    import { openModel } from '/src/modelFile.ts';
    window.sources = { Captioner, openModel };`;
  await page.addScriptTag({ type: 'module', content });
  await page.waitForFunction('window.sources');
  const found = await page.evaluate(
    async ({ model, bytes, photos }) => {
      type Sources = typeof import('../../src/captioner') & typeof import('../../src/modelFile');
      const { Captioner, openModel } = (window as unknown as { sources: Sources }).sources;
      const decode = (text: string) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
      const captioner = await Captioner.load(openModel(decode(bytes), model), 'wasm', () => {});
      const seen = new Set<Tensor>();
      for (const signature of Object.values(captioner['compiled'].signatures)) {
        const run = signature.run.bind(signature) as (inputs: object) => Promise<object>;
        signature.run = async (inputs: object) => {
          const outputs = await run(inputs);
          for (const tensors of [inputs, outputs]) Object.values(tensors).forEach((tensor) => seen.add(tensor));
          return outputs as never;
        };
      }
      const found = [];
      for (const photo of photos) {
        seen.clear();
        const { text, logProb, confidence, familiarity } = await captioner.caption(decode(photo), {});
        const left = [...seen].filter(({ deleted }) => !deleted).length;
        found.push({ text, logProb, confidence, familiarity, tensors: seen.size, left });
      }
      return found;
    },
    { model, bytes: base64(`models/${model}`), photos: photos.map((photo) => base64(`resized/${photo}.bin`)) },
  );
  await page.close();
  return found;
}

describe.each([
  ['float32.tflite', 'float32.tflite'],
  ['inject-first.tflite', 'inject-first.tflite'],
  ['inject-every.tflite', 'inject-every.tflite'],
  ['inject-only.tflite', 'inject-only.tflite'],
  ['more-outputs.tflite', 'inject-every.tflite'], // the same with another output, which is no state
])('%s', (model, same) => {
  test('says what Keras says, and leaves no tensor behind', async () => {
    const found = await captionInChromium(model);
    for (const [n, photo] of photos.entries()) {
      const { text, log_prob, ...trust } = wanted.find((each) => each.model === same && each.photo === photo)!;
      expect(found[n].text).toBe(text);
      expect(found[n].logProb).toBeCloseTo(log_prob, 2);
      for (const name of ['confidence', 'familiarity'] as const) {
        if (trust[name] === null) expect(found[n][name]).toBeUndefined();
        else expect(found[n][name]).toBeCloseTo(trust[name], 3);
      }
      expect(found[n].tensors).toBeGreaterThan(20);
      expect(found[n].left).toBe(0);
    }
    expect(new Set(found.map(({ text }) => text)).size).toBeGreaterThan(1);
  });
});
