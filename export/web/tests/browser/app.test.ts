/** The built page in a real Chromium, against what Keras and sat_edge say of the same photos and models. */
import { readFileSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';

import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { launchChromium, swiftShader } from '../../chromium.mjs';
import { serve } from '../../serve.mjs';
import { openModel } from '../../src/modelFile';
import { fixture } from '../fixtures';

interface Wanted {
  model: string;
  photo: string;
  text: string;
  words: string[];
  attention: number[][];
  confidence: number | null;
}
/** By Keras, with each file's own search. */
const defaults: Wanted[] = JSON.parse(readFileSync(fixture('defaults.json'), 'utf8'));
/** By sat_edge. */
const captions: (Wanted & { width: number })[] = JSON.parse(readFileSync(fixture('captions.json'), 'utf8'));
// float32: the same to the last word everywhere. With int8, rounding differs between x86 and WebAssembly, and
// of two beams of like score another one may win.
const MODEL = 'float32.tflite';
const wanted = (photo: string, model = MODEL) =>
  defaults.find((each) => each.photo === photo && each.model === model)!;
const wantedOfWidth = (photo: string, width: number, model = MODEL) =>
  captions.find((each) => each.photo === photo && each.width === width && each.model === model)!;

const { regions } = openModel(new Uint8Array(readFileSync(fixture(`models/${MODEL}`))), MODEL).settings;

let server: Awaited<ReturnType<typeof serve>>;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  server = await serve(fixture('models'));
  browser = await launchChromium(['--use-fake-device-for-media-stream']);
});
afterAll(async () => {
  await browser.close();
  await server.close();
});
afterEach(async () => {
  await page.context().close();
});

async function open(query = `backend=wasm&model=models/${MODEL}`, options: BrowserContextOptions = {}) {
  page = await browser.newPage(options);
  await page.goto(`${server.url}?${query}`);
  await page.locator('#engine', { hasText: / on W|No model/ }).waitFor({ timeout: 120_000 });
}

/** Drops a file on the page, as a hand does. */
async function drop(path: string) {
  const bytes = readFileSync(path).toString('base64');
  const transfer = await page.evaluateHandle(
    ([bytes, name]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0))], name));
      return transfer;
    },
    [bytes, basename(path)],
  );
  await page.dispatchEvent('#frame', 'drop', { dataTransfer: transfer });
}

const beamWidth = () => page.inputValue('#beam-width');
const words = () => page.locator('.word').allTextContents();
const notice = () => page.locator('#notice').textContent();

/** Waits until a screen reader would be told this caption. */
async function waitForCaption({ text, words: expected }: Wanted) {
  await expect.poll(() => page.textContent('#spoken'), { timeout: 120_000 }).toBe(`Caption: ${text}.`);
  expect(await words()).toEqual(expected);
  await page.waitForTimeout(expected.length * 70 + 1800); // every word has appeared, and its light has gone
}

/** The photo as it is on the screen: mean brightness of each of the model's locations. */
async function seen(): Promise<number[]> {
  const screenshot = (await page.locator('#frame').screenshot()).toString('base64');
  return page.evaluate(
    async ({ screenshot, regions }) => {
      const bytes = Uint8Array.from(atob(screenshot), (character) => character.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes]));
      const { width, height } = bitmap;
      const context = new OffscreenCanvas(width, height).getContext('2d')!;
      context.drawImage(bitmap, 0, 0);
      return regions.map(([ymin, xmin, ymax, xmax]) => {
        const [left, top] = [Math.round(xmin * width), Math.round(ymin * height)];
        const [right, bottom] = [Math.min(Math.round(xmax * width), width), Math.min(Math.round(ymax * height), height)];
        const { data } = context.getImageData(left, top, right - left, bottom - top);
        return data.reduce((sum, level) => sum + level, 0) / data.length;
      });
    },
    { screenshot, regions },
  );
}

/** How like it is to where a word looked: what is brighter under one word's light than under another's. */
function likeness(light: number[], other: number[], word: number, otherWord: number, { attention }: Wanted): number {
  const relative = (weights: number[]) => weights.map((weight) => weight / Math.max(...weights));
  const less = (a: number[], b: number[]) => a.map((value, i) => value - b[i]);
  return correlation(less(light, other), less(relative(attention[word]), relative(attention[otherWord])));
}

function correlation(a: number[], b: number[]): number {
  const mean = (values: number[]) => values.reduce((x, y) => x + y, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  const dot = (x: number[], mx: number, y: number[], my: number) => mean(x.map((v, i) => (v - mx) * (y[i] - my)));
  return dot(a, ma, b, mb) / Math.sqrt(dot(a, ma, a, ma) * dot(b, mb, b, mb));
}

describe('captions', () => {
  test('what Keras says of every photo, with the file’s search', async () => {
    await open();
    for (const photo of readdirSync(fixture('photos'))) {
      await drop(fixture(`photos/${photo}`));
      await waitForCaption(wanted(photo));
      for (const part of ['encode', 'word', 'total']) {
        expect(Number.parseFloat((await page.textContent(`#${part}-time`))!)).toBeGreaterThan(0);
      }
    }
  });

  test('of int8 weights too', async () => {
    await open('backend=wasm&model=models/dynamic.tflite');
    await page.fill('#beam-width', '1');
    await drop(fixture('photos/shapes-2.png'));
    await waitForCaption(wantedOfWidth('shapes-2.png', 1, 'dynamic.tflite'));
  });

  test('of a captioner without attention, which looks at the whole photo', async () => {
    await open('backend=wasm&model=models/inject-every.tflite');
    for (const photo of ['shapes-2.png', 'turned.jpg']) {
      await drop(fixture(`photos/${photo}`));
      await waitForCaption(wanted(photo, 'inject-every.tflite'));
    }
    const [word] = wanted('turned.jpg', 'inject-every.tflite').words;
    expect(await page.locator('.word').nth(0).getAttribute('aria-label')).toBe(`${word}: looked at the whole photo`);
  });

  test('the beam slider gives sat_edge’s beam captions', async () => {
    await open();
    await drop(fixture('photos/shapes-7.png'));
    await waitForCaption(wanted('shapes-7.png'));
    for (const width of [2, 5, 1, 3]) {
      await page.fill('#beam-width', String(width));
      await waitForCaption(wantedOfWidth('shapes-7.png', width));
    }
    expect(new Set([1, 2, 3, 5].map((width) => wantedOfWidth('shapes-7.png', width).text)).size).toBeGreaterThan(2);
  });

  test('the beam slider starts where each file’s search is, and reaches at least that far', async () => {
    await open();
    const slider = async () => [
      await beamWidth(),
      await page.textContent('#beam-output'),
      await page.getAttribute('#beam-width', 'max'),
    ];
    expect(await slider()).toEqual(['3', '3', '5']);
    for (const [model, expected] of [
      ['inject-every.tflite', ['7', '7', '7']],
      ['inject-only.tflite', ['1', '1', '5']],
    ] as const) {
      await page.setInputFiles('#model-file', fixture(`models/${model}`));
      await expect.poll(() => page.textContent('#engine'), { timeout: 60_000 }).toContain(`${model}, `);
      expect(await slider()).toEqual(expected);
    }
  });

  test('a photo that comes while another is captioned takes its place', async () => {
    await open();
    await page.fill('#beam-width', '5');
    await drop(fixture('photos/shapes-7.png'));
    await drop(fixture('photos/turned.jpg'));
    await waitForCaption(wantedOfWidth('turned.jpg', 5));
  });

  test('a model from a file', async () => {
    await open('model=models/none.tflite');
    expect(await notice()).toContain('none.tflite is not there (404)');
    await drop(fixture('photos/shapes-2.png'));
    await expect.poll(notice).toContain('There is no model yet');
    await page.setInputFiles('#model-file', fixture(`models/${MODEL}`));
    await waitForCaption(wanted('shapes-2.png'));
    expect(await page.isHidden('#notice')).toBe(true);
  });
});

describe('where the model looked', () => {
  test('the light on the photo goes with the pointer to where each word looked', async () => {
    await open();
    await drop(fixture('photos/turned.jpg'));
    const caption = wanted('turned.jpg');
    await waitForCaption(caption);
    const bare = await seen();
    const lights: number[][] = [];
    for (let n = 0; n < 5; n++) {
      await page.locator('.word').nth(n).hover();
      await page.waitForTimeout(800); // the light has moved
      lights.push(await seen());
    }
    for (let n = 1; n < 5; n++) expect(likeness(lights[n], lights[0], n, 0, caption)).toBeGreaterThan(0.75);
    await page.hover('h1');
    await page.waitForTimeout(800);
    expect(await seen()).toEqual(bare);
  });

  test('a word that was clicked keeps its light', async () => {
    await open();
    await drop(fixture('photos/turned.jpg'));
    await waitForCaption(wanted('turned.jpg'));
    await page.locator('#strip li').nth(2).hover();
    await page.waitForTimeout(800);
    const light = await seen();
    await page.mouse.down();
    await page.mouse.up();
    await page.hover('h1');
    await page.waitForTimeout(800);
    expect(await seen()).toEqual(light);
  });
});

test('offline, with the model, after one visit', async () => {
  const own = await serve(fixture('models'));
  page = await browser.newPage();
  await page.goto(`${own.url}?model=models/${MODEL}`);
  await page.locator('#engine', { hasText: 'on WASM' }).waitFor({ timeout: 120_000 });
  const kept = () =>
    page.evaluate(async () => (await (await caches.open('page')).keys()).map(({ url }) => url).join('\n'));
  await expect.poll(kept, { timeout: 60_000 }).toMatch(/internal\.wasm/);
  await own.close();
  await expect(fetch(own.url)).rejects.toThrow();
  await page.goto(`${own.url}?model=models/${MODEL}`);
  await page.locator('#engine', { hasText: 'on WASM' }).waitFor({ timeout: 120_000 });
  await drop(fixture('photos/shapes-2.png'));
  await waitForCaption(wanted('shapes-2.png'));
});

test('Chromium would install it as an app', async () => {
  await open();
  const session = await page.context().newCDPSession(page);
  const { errors } = (await session.send('Page.getAppManifest')) as { errors: unknown[] };
  expect(errors).toEqual([]);
  await page.evaluate(() => navigator.serviceWorker.ready);
  const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
  // Playwright's pages are private windows, into which Chromium installs nothing.
  expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito')).toEqual([]);
});

test('by keyboard alone', async () => {
  await open();
  const focused = () => page.evaluate(() => document.activeElement!.getAttribute('aria-label') ?? document.activeElement!.textContent!.trim());
  const tabTo = async (name: string) => {
    for (let i = 0; i < 30; i++) {
      await page.keyboard.press('Tab');
      if ((await focused()).startsWith(name)) return;
    }
    throw new Error(`Tab never comes to ${name}`);
  };
  const choosing = page.waitForEvent('filechooser');
  await tabTo('Choose a photo');
  await page.keyboard.press('Enter');
  await (await choosing).setFiles(fixture('photos/turned.jpg'));
  const caption = wanted('turned.jpg');
  await waitForCaption(caption);
  await tabTo(`${caption.words[0]}: looked most at the`);
  await page.waitForTimeout(800);
  const first = await seen();
  await page.keyboard.press('ArrowRight');
  await page.waitForTimeout(800);
  expect(await focused()).toMatch(new RegExp(`^${caption.words[1]}: looked most at the `));
  expect(likeness(await seen(), first, 1, 0, caption)).toBeGreaterThan(0.75);
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineWidth);
  expect(Number.parseFloat(outline)).toBeGreaterThanOrEqual(2);
  while ((await page.evaluate(() => document.activeElement!.id)) !== 'beam-width') await page.keyboard.press('Tab');
  await page.keyboard.press('ArrowLeft');
  expect(await beamWidth()).toBe('2');
  await waitForCaption(wantedOfWidth('turned.jpg', 2));
});

test('on a phone’s screen', async () => {
  const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
  await open(undefined, phone);
  const choosing = page.waitForEvent('filechooser');
  await page.tap('#choose-photo');
  await (await choosing).setFiles(fixture('photos/turned.jpg'));
  await waitForCaption(wanted('turned.jpg'));
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  for (const selector of ['#choose-photo', '#open-camera', '#frame']) {
    const box = (await page.locator(selector).boundingBox())!;
    expect(box.height).toBeGreaterThanOrEqual(44); // a finger's width
    expect(box.y + box.height).toBeLessThanOrEqual(844);
    expect(box.x + box.width).toBeLessThanOrEqual(390);
  }
  await page.locator('.word').nth(0).tap();
  await page.waitForTimeout(800);
  const first = await seen();
  await page.locator('.word').nth(4).tap();
  await page.waitForTimeout(800);
  expect(likeness(await seen(), first, 4, 0, wanted('turned.jpg'))).toBeGreaterThan(0.75);
});

test('without motion where that is wished', async () => {
  await open(undefined, { reducedMotion: 'reduce' });
  await drop(fixture('photos/turned.jpg'));
  await expect.poll(words).toEqual(wanted('turned.jpg').words);
  expect(await page.evaluate(() => document.getAnimations().length)).toBe(0);
});

describe('bad input is named, and the app goes on', () => {
  test.each([
    ['models/text.tflite', 'text.tflite is no model'],
    ['models/no-vocabulary.tflite', 'no-vocabulary.tflite has no vocabulary inside'],
    ['models/damaged.tflite', 'damaged.tflite is damaged'],
    ['models/version-0.1.tflite', 'version-0.1.tflite was made by sat_keras 0.1: export it again'],
    ['models/format-2.tflite', 'format-2.tflite has format 2, and this page reads format 1'],
    ['models/wrong-search.tflite', 'wrong-search.tflite has a wrong search, {"beam_width":0,'],
    ['models/fewer-words.tflite', 'words in its vocabulary'],
    ['models/other-words.tflite', 'another one’s vocabulary and settings are inside'],
    ['models/other-grid.tflite', 'another one’s vocabulary and settings are inside'],
    ['models/other-state.tflite', 'another one’s vocabulary and settings are inside'],
    ['text.jpg', 'text.jpg is not a photo'],
  ])('%s', async (file, says) => {
    await open();
    await drop(fixture(file));
    await expect.poll(notice, { timeout: 60_000 }).toContain(says);
    expect(await notice()).not.toContain('\n');
    await drop(fixture('photos/shapes-2.png'));
    await waitForCaption(wanted('shapes-2.png'));
    expect(await page.isHidden('#notice')).toBe(true);
  });

  test('the camera, refused', async () => {
    await open();
    await page.click('#open-camera');
    await expect.poll(notice).toContain('The camera was refused');
    expect(await page.isVisible('#choose-photo')).toBe(true);
  });
});

test('how far a caption is to be trusted, in words', async () => {
  const trust = () => page.textContent('#trust');
  await open('backend=wasm&model=models/inject-every.tflite');
  await drop(fixture('photos/turned.jpg'));
  const caption = wanted('turned.jpg', 'inject-every.tflite');
  await waitForCaption(caption);
  expect(await trust()).toBe(`Confidence ${Math.round(100 * caption.confidence!)} %`);
  await open('backend=wasm&model=models/inject-only.tflite');
  await drop(fixture('photos/turned.jpg'));
  await expect.poll(trust, { timeout: 60_000 }).toContain('unlike those that the model learnt from');
  expect(await page.textContent('#spoken')).toContain(await trust());
  await open();
  await drop(fixture('photos/shapes-2.png'));
  await waitForCaption(wanted('shapes-2.png'));
  expect(await trust()).toBe('');
});

test('a photo by the camera', async () => {
  await open(undefined, { permissions: ['camera'] });
  await page.click('#open-camera');
  await page.click('#take-photo');
  await expect.poll(() => page.textContent('#spoken'), { timeout: 60_000 }).toMatch(/^Caption: \w+ \w+/);
  expect(await page.isHidden('#viewfinder')).toBe(true);
  const tracks = await page.evaluate(() => (document.querySelector('video')!.srcObject as MediaStream | null)?.active);
  expect(tracks ?? false).toBe(false);
});

describe('WebGPU', () => {
  let gpu: Browser;
  beforeAll(async () => {
    gpu = await launchChromium(swiftShader);
  });
  afterAll(() => gpu.close());

  async function openOnGpu(before?: () => void) {
    page = await gpu.newPage();
    if (before) await page.addInitScript(before);
    await page.goto(`${server.url}?backend=webgpu&model=models/${MODEL}`);
    await page.locator('#engine', { hasText: 'on WebGPU' }).waitFor({ timeout: 200_000 });
  }

  test('captions as on WASM', async () => {
    await openOnGpu();
    await drop(fixture('photos/shapes-2.png'));
    await waitForCaption(wanted('shapes-2.png'));
    expect(await page.textContent('#engine')).toContain('on WebGPU');
  });

  test('a device that is lost in the middle: the caption is finished on WASM', async () => {
    await openOnGpu(() => {
      const request = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (descriptor) {
        const device = await request.call(this, descriptor);
        const seen = new MutationObserver(() => {
          if (document.querySelectorAll('.word').length === 3) device.destroy();
        });
        seen.observe(document, { subtree: true, childList: true });
        return device;
      };
    });
    await page.fill('#beam-width', '1'); // words come one by one
    await drop(fixture('photos/shapes-2.png'));
    await expect.poll(() => page.textContent('#engine'), { timeout: 120_000 }).toContain('WebGPU was lost');
    await waitForCaption(wantedOfWidth('shapes-2.png', 1));
    expect(await page.textContent('#engine')).toContain('on WASM');
    await drop(fixture('photos/turned.jpg'));
    await waitForCaption(wantedOfWidth('turned.jpg', 1));
  });

  test('none: said, and captions come from WASM', async () => {
    await open(`backend=webgpu&model=models/${MODEL}`);
    expect(await page.textContent('#engine')).toMatch(/^No WebGPU here: .* on WASM$/);
    await drop(fixture('photos/shapes-2.png'));
    await waitForCaption(wanted('shapes-2.png'));
  });
});

test('the conformance page is no part of the build', () => {
  const files = readdirSync('dist', { recursive: true }) as string[];
  const text = files.filter((file) => /\.(html|js)$/.test(file)).map((file) => readFileSync(`dist/${file}`, 'utf8'));
  expect(text.length).toBeGreaterThan(3);
  expect(text.join()).not.toMatch(/conformance/i);
});
