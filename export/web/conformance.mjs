// npm run conformance -- FOLDER
//
// Runs a conformance folder (see export/conformance) in Chromium, on WASM and on WebGPU by SwiftShader, and
// writes FOLDER/results/{wasm,webgpu}/{float32,int8}/{tokens,attention}.bin for its check.py.
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { createServer } from 'vite';

import { launchChromium, swiftShader } from './chromium.mjs';

const folder = resolve(process.argv[2] ?? '');
if (!process.argv[2] || !existsSync(join(folder, 'conformance.json'))) {
  console.error(`${folder}: no conformance.json; make one with: python export/conformance/make.py FOLDER`);
  process.exit(2);
}
const { files } = JSON.parse(readFileSync(join(folder, 'conformance.json'), 'utf8'));

const serveFolder = {
  name: 'serve-conformance-folder',
  configureServer({ middlewares }) {
    middlewares.use('/conformance', (request, response, next) => {
      const file = resolve(join(folder, decodeURIComponent(request.url.split('?')[0])));
      if (!file.startsWith(folder) || !existsSync(file)) return next();
      createReadStream(file).pipe(response);
    });
  },
};
const server = await createServer({ plugins: [serveFolder], server: { port: 0 }, logLevel: 'warn' });
await server.listen();
const address = `${server.resolvedUrls.local[0]}conformance.html`;

/** Of one file on one accelerator, in a fresh browser; what it wrote, or why there is nothing. */
async function run(accelerator, precision, model) {
  const browser = await launchChromium(accelerator === 'webgpu' ? swiftShader : []);
  try {
    const page = await browser.newPage();
    await page.goto(address);
    await page.waitForFunction('window.runConformance');
    const results = await page.evaluate(
      ([accelerator, url]) => window.runConformance(accelerator, url),
      [accelerator, `conformance/${precision}/${model}`],
    );
    const out = join(folder, 'results', accelerator, precision);
    mkdirSync(out, { recursive: true });
    for (const name of ['tokens', 'attention']) {
      const file = join(out, `${name}.bin`);
      writeFileSync(`${file}.part`, Buffer.from(results[name], 'base64'));
      renameSync(`${file}.part`, file);
    }
    console.log(`${accelerator} ${precision}: ${out}`);
    return true;
  } catch (error) {
    console.log(`${accelerator} ${precision}: ${error.message.split('\n')[0]}`);
    return false;
  } finally {
    await browser.close();
  }
}

let complete = true;
for (const precision of files) {
  complete = (await run('wasm', precision, 'captioner.tflite')) && complete;
  // Files of int8 weights do not compile on WebGPU (LiteRT.js 2.5.3): said, but no failure.
  const gpu = existsSync(join(folder, precision, 'gpu.tflite')) ? 'gpu.tflite' : 'captioner.tflite';
  const done = await run('webgpu', precision, gpu);
  complete = (done || precision !== 'float32') && complete;
}
await server.close();
process.exit(complete ? 0 : 1);
