import type { Region } from './settings';

/** Points along a side of the heat map; the browser draws it, smoothed, over the whole photo. */
export const HEAT_SIZE = 96;

/**
 * One word's attention as a smooth field over the photo: at every point the mean of all locations'
 * weights, each weighted by a Gaussian as wide as its region.
 *
 * @param attention weights over the locations `(L)`
 * @param regions each location's part of the photo
 * @param size points along a side
 * @returns `size * size` values, row by row, the largest 1
 */
export function heatField(attention: ArrayLike<number>, regions: readonly Region[], size = HEAT_SIZE): Float32Array {
  const rows = regions.map(([ymin, , ymax]) => gaussian(ymin, ymax, size));
  const columns = regions.map(([, xmin, , xmax]) => gaussian(xmin, xmax, size));
  const field = new Float32Array(size * size);
  let largest = 0;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let heat = 0;
      let sum = 0;
      for (let l = 0; l < regions.length; l++) {
        const nearness = rows[l][y] * columns[l][x];
        heat += attention[l] * nearness;
        sum += nearness;
      }
      const mean = heat / sum;
      field[y * size + x] = mean;
      if (mean > largest) largest = mean;
    }
  }
  return field.map((heat) => heat / largest);
}

function gaussian(low: number, high: number, size: number): Float64Array {
  const center = (low + high) / 2;
  const deviation = (high - low) / 2;
  return Float64Array.from({ length: size }, (_, i) => Math.exp(-0.5 * (((i + 0.5) / size - center) / deviation) ** 2));
}

/** Where nobody looked the photo lies in blue dusk; light and warmth rise with attention. */
const DUSK = [13, 16, 38];
const GLOW = [255, 138, 36];

/** Draws a field: a veil to lay over the photo. */
export function paintHeat(canvas: HTMLCanvasElement, field: Float32Array): void {
  const size = Math.sqrt(field.length);
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size);
  field.forEach((heat, i) => {
    const dusk = 0.78 * (1 - heat) ** 1.4;
    const glow = 0.7 * heat * (1 - 0.55 * heat); // strongest at the edge of the light, weaker inside it
    const alpha = glow + dusk * (1 - glow);
    for (let band = 0; band < 3; band++) {
      image.data[4 * i + band] = (GLOW[band] * glow + DUSK[band] * dusk * (1 - glow)) / alpha;
    }
    image.data[4 * i + 3] = 255 * alpha;
  });
  canvas.getContext('2d')!.putImageData(image, 0, 0);
}

/** Where on the photo a word looked: "looked most at the upper left", or at all of it alike. */
export function lookInWords(attention: ArrayLike<number>, regions: readonly Region[]): string {
  let highest = 0;
  let lowest = 0;
  for (let l = 1; l < attention.length; l++) {
    if (attention[l] > attention[highest]) highest = l;
    if (attention[l] < attention[lowest]) lowest = l;
  }
  // A captioner without attention gives every location the same weight.
  if (attention.length > 1 && attention[highest] === attention[lowest]) return 'looked at the whole photo';
  const [ymin, xmin, ymax, xmax] = regions[highest];
  const third = (center: number, names: [string, string, string]) => names[Math.min(Math.floor(center * 3), 2)];
  const row = third((ymin + ymax) / 2, ['upper', '', 'lower']);
  const column = third((xmin + xmax) / 2, ['left', 'middle', 'right']);
  return `looked most at the ${`${row} ${column}`.trim()}`;
}
