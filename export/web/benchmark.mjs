// npm run benchmark -- MODEL PHOTO
//
// Measures, in one run on this machine: the first caption after the page's load from localhost; a caption on WASM beside
// Python's sat_edge (the same file and photo, one thread), greedy and with the file's beam width; and the bytes that a
// browser loads without the model.
// PYTHON names the interpreter with sat_edge, "python" if unset.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

import { launchChromium } from './chromium.mjs';
import { serve } from './serve.mjs';

const CAPTIONS = 30; // timed, after 10 that warm up: WebAssembly is compiled in two tiers
const WARM_UP = 10;
const VISITS = 5;

const [model, photo] = process.argv.slice(2);
if (!photo) {
  console.error('usage: npm run benchmark -- MODEL PHOTO');
  process.exit(2);
}
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Milliseconds of a caption by sat_edge: photo already in memory, resizing included, as the page counts it. */
function timePython(width) {
  const code = `
import sys, time
from sat_edge import Captioner, open_photo
captioner, photo = Captioner(sys.argv[1]), open_photo(sys.argv[2])
times = []
for _ in range(${WARM_UP + CAPTIONS}):
    started = time.perf_counter()
    captioner.caption(photo, beam_width=${width})
    times.append(1e3 * (time.perf_counter() - started))
print(sorted(times[${WARM_UP}:])[${CAPTIONS} // 2])`;
  const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
  return Number(execFileSync(process.env.PYTHON ?? 'python', ['-c', code, resolve(model), resolve(photo)], options));
}

const server = await serve(dirname(resolve(model)));
const address = `${server.url}?backend=wasm&model=models/${basename(model)}`;
const browser = await launchChromium();
const photoFile = { name: basename(photo), mimeType: 'image/jpeg', buffer: readFileSync(photo) };

/** A first visit: seconds from navigation to the caption of a photo that was waiting, and bytes without the model. */
async function visit() {
  const context = await browser.newContext({ reducedMotion: 'reduce' }); // no animation beside the work
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  let bytes = 0;
  page.on('response', async (response) => {
    if (response.url().endsWith('.tflite') || response.fromServiceWorker()) return;
    bytes += (await response.body().catch(() => '')).length;
  });
  const started = performance.now();
  await page.goto(address, { waitUntil: 'commit' });
  await page.setInputFiles('#photo-file', photoFile);
  await page.waitForFunction(() => document.querySelector('#spoken')?.textContent, undefined, { polling: 20 });
  const seconds = (performance.now() - started) / 1e3;
  return { page, context, seconds, bytes };
}

const visits = [];
for (let i = 0; i < VISITS; i++) {
  const { context, ...measured } = await visit();
  visits.push(measured);
  await context.close();
}

const { page } = await visit();

/** Milliseconds of a caption on WASM. */
async function timePage(width) {
  await page.fill('#beam-width', String(width));
  const times = [];
  for (let i = 0; i < WARM_UP + CAPTIONS; i++) {
    await page.evaluate(() => (document.querySelector('#spoken').textContent = ''));
    await page.setInputFiles('#photo-file', photoFile);
    await page.waitForFunction(() => document.querySelector('#spoken').textContent, undefined, { polling: 20 });
    times.push(Number.parseFloat(await page.textContent('#total-time')));
  }
  return median(times.slice(WARM_UP));
}

const own = Number(await page.inputValue('#beam-width'));
const timed = [];
for (const width of new Set([1, own])) timed.push({ width, wasm: await timePage(width) });
await browser.close();
await server.close();

console.log(`first caption after load   ${median(visits.map(({ seconds }) => seconds)).toFixed(2)} s   (median of ${VISITS} first visits)`);
for (const { width, wasm } of timed) {
  const python = timePython(width);
  console.log(`beam width ${width}`);
  console.log(`  a caption on WASM        ${wasm.toFixed(1)} ms  (median of ${CAPTIONS}, resizing included)`);
  console.log(`  a caption by sat_edge    ${python.toFixed(1)} ms  (the same)`);
  console.log(`  WASM / sat_edge          ${(wasm / python).toFixed(2)}`);
}
console.log(`page without the model     ${(median(visits.map(({ bytes }) => bytes)) / 1e6).toFixed(2)} MB, not compressed`);
