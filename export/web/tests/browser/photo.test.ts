/** Photos as the model takes them, decoded by Chromium, against Pillow's. From the sources, not the built page. */
import { readFileSync, readdirSync } from 'node:fs';

import type { Browser } from 'playwright-core';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { launchChromium } from '../../chromium.mjs';
import { fixture } from '../fixtures';

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

/** Upright, transparent pixels on white, stretched: red, green, blue of 224 x 224 pixels. */
async function pixelsInChromium(photo: string): Promise<Buffer> {
  const page = await browser.newPage();
  await page.goto(`${server.resolvedUrls!.local[0]}conformance.html`);
  await page.addScriptTag({ type: 'module', content: `import * as photo from '/src/photo.ts'; window.photo = photo;` });
  await page.waitForFunction('window.photo');
  const pixels = await page.evaluate(async (bytes) => {
    const { openPhoto, toPixels } = (window as unknown as { photo: typeof import('../../src/photo') }).photo;
    const file = new Blob([Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0))]);
    return [...toPixels(await openPhoto(file, 'photo'), [224, 224])];
  }, readFileSync(fixture(`photos/${photo}`)).toString('base64'));
  await page.close();
  return Buffer.from(pixels);
}

// Two decoders of JPEG may differ by a level or two before the photo is stretched.
test.each(readdirSync(fixture('photos')))('%s is Pillow’s', async (photo) => {
  const wanted = readFileSync(fixture(`resized/${photo}.bin`));
  const found = await pixelsInChromium(photo);
  expect(found).toHaveLength(wanted.length);
  const largest = found.reduce((most, level, i) => Math.max(most, Math.abs(level - wanted[i])), 0);
  expect(largest).toBeLessThanOrEqual(photo.endsWith('.png') ? 1 : 3);
});
