import { createReadStream, readFileSync } from 'node:fs';

import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const litert = new URL('node_modules/@litertjs/core/', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('package.json', litert), 'utf8'));
const litertFolder = `litert-${version}/`;

/**
 * Serves the WebAssembly that LiteRT.js fetches by itself, and puts it into a build: with JSPI for
 * browsers with WebGPU, else with relaxed SIMD, else the compatible one. A browser loads one of them.
 * The threaded one is not shipped: it needs headers that many hosts do not send.
 */
function litertFiles(): Plugin {
  const builds = ['litert_wasm_jspi_internal', 'litert_wasm_internal', 'litert_wasm_compat_internal'];
  const files = builds.flatMap((build) => [`${build}.js`, `${build}.wasm`]);
  return {
    name: 'litert-files',
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        const name = files.find((file) => request.url?.endsWith(`/${litertFolder}${file}`));
        if (!name) return next();
        response.setHeader('Content-Type', name.endsWith('.js') ? 'text/javascript' : 'application/wasm');
        createReadStream(new URL(`wasm/${name}`, litert)).pipe(response);
      });
    },
    generateBundle() {
      for (const name of files) {
        this.emitFile({
          type: 'asset',
          fileName: litertFolder + name,
          source: readFileSync(new URL(`wasm/${name}`, litert)),
        });
      }
    },
  };
}

export default defineConfig({
  base: './', // the built folder may lie under any path of a site
  appType: 'mpa', // a file that is not there is a 404, not the page again
  build: { target: 'es2022', assetsInlineLimit: 0 },
  define: { __LITERT_FOLDER__: JSON.stringify(litertFolder) },
  plugins: [litertFiles()],
  test: {
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 30_000 } },
    projects: [
      { extends: true, test: { name: 'unit', include: ['tests/unit/*.test.ts'] } },
      { extends: true, test: { name: 'browser', include: ['tests/browser/*.test.ts'], fileParallelism: false } },
    ],
  },
});
