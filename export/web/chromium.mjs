import { existsSync } from 'node:fs';

import { chromium } from 'playwright-core';

const path = process.env.CHROMIUM ?? '/usr/bin/chromium';
const flags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** WebGPU in software, where there is no GPU. */
export const swiftShader = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

/** Debian's Chromium, headless; CHROMIUM names another one. */
export function launchChromium(more = []) {
  if (!existsSync(path)) throw new Error(`${path} is missing: apt-get install chromium, or set CHROMIUM`);
  return chromium.launch({ executablePath: path, args: [...flags, ...more] });
}
