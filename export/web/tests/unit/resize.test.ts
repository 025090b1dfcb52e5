import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { Resize } from '../../src/resize';
import { fixture } from '../fixtures';

type Size = [number, number];
const cases: { size: Size; outSize: Size }[] = JSON.parse(readFileSync(fixture('resized/resized.json'), 'utf8'));

function withAlpha(rgb: Uint8Array): Uint8Array {
  const rgba = new Uint8Array((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length / 3; i++) rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  return rgba;
}

test.each(cases.map((each, n) => ({ n, ...each })))('$size to $outSize is Pillow’s', ({ n, size, outSize }) => {
  const photo = withAlpha(readFileSync(fixture(`resized/${n}.photo.bin`)));
  const resize = new Resize(size, outSize);
  const strip = size[1] * 4 * 7; // seven rows at once: the last strip is shorter
  for (let start = 0; start < photo.length; start += strip) resize.push(photo.subarray(start, start + strip));
  const found = resize.finish();
  const wanted = readFileSync(fixture(`resized/${n}.bin`));
  expect(found).toHaveLength(wanted.length);
  const largest = found.reduce((most, level, i) => Math.max(most, Math.abs(level - wanted[i])), 0);
  // Photos that are not tall are the same bits with every version of Pillow (see src/resize.ts).
  expect(largest).toBeLessThanOrEqual(size[0] > size[1] ? 1 : 0);
});
