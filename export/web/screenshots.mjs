// npm run screenshots -- MODEL PHOTO [OUT]
//
// The built page with a photo, its caption and one word's heat map, and empty: on a desktop's and on a phone's screen,
// light and dark.
import { mkdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { launchChromium } from './chromium.mjs';
import { serve } from './serve.mjs';

const [model, photo, out = 'screenshots'] = process.argv.slice(2);
if (!photo) {
  console.error('usage: npm run screenshots -- MODEL PHOTO [OUT]');
  process.exit(2);
}
mkdirSync(out, { recursive: true });
const server = await serve(dirname(resolve(model)));
const browser = await launchChromium();
const screens = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
};
for (const [screen, device] of Object.entries(screens)) {
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.newPage({ ...device, colorScheme });
    await page.goto(`${server.url}?backend=wasm&model=models/${basename(model)}`);
    await page.getByText('on WASM').waitFor({ timeout: 120_000 });
    await page.waitForTimeout(500);
    await page.screenshot({ path: join(out, `${screen}-${colorScheme}-empty.png`) });
    await page.setInputFiles('#photo-file', photo);
    await page.locator('#timing').waitFor({ timeout: 120_000 });
    await page.waitForTimeout(1500); // every word has appeared
    await page.locator('.word').nth(1).focus();
    await page.waitForTimeout(500); // the light has moved
    await page.screenshot({ path: join(out, `${screen}-${colorScheme}.png`) });
    await page.close();
  }
}
await browser.close();
await server.close();
