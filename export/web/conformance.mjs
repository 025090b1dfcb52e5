// npm run conformance -- FOLDER
//
// Captions a conformance folder (see export/conformance) in Chromium: every file on WASM, those for GPUs on WebGPU
// by SwiftShader too. Writes FOLDER/results/{wasm,webgpu}/NAME/{tokens,attention}.bin for its check.py.
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

/** One file on one backend, in a fresh browser. Whether it went well; what went wrong is printed. */
async function run(backend, name, file) {
  const browser = await launchChromium(backend === 'webgpu' ? swiftShader : []);
  try {
    const page = await browser.newPage();
    await page.goto(address);
    await page.waitForFunction('window.runConformance');
    const results = await page.evaluate((what) => window.runConformance(...what), [backend, name, file]);
    const out = join(folder, 'results', backend, name);
    mkdirSync(out, { recursive: true });
    for (const kind of ['tokens', 'attention']) {
      const path = join(out, `${kind}.bin`);
      writeFileSync(`${path}.part`, Buffer.from(results[kind], 'base64'));
      renameSync(`${path}.part`, path);
    }
    console.log(`${backend} ${name}: ${out}`);
    return true;
  } catch (error) {
    console.log(`${backend} ${name}: ${error.message.split('\n')[0]}`);
    return false;
  } finally {
    await browser.close();
  }
}

let complete = true;
for (const [name, { gpu }] of Object.entries(files)) {
  complete = (await run('wasm', name, 'captioner.tflite')) && complete;
  if (gpu) complete = (await run('webgpu', name, 'gpu.tflite')) && complete;
}
await server.close();
process.exit(complete ? 0 : 1);
