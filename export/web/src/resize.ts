/**
 * The one resize rule: the whole photo stretched to the model's size, bilinear with antialiasing,
 * as Pillow's `Image.resize(..., BILINEAR)` does it: a triangle whose width grows with the ratio,
 * coefficients of 22 bits, two passes with 8 bits between them. The pass along rows is always the
 * first here; Pillow's result is the same bits, but within one level where it takes columns first
 * (new versions do for some tall photos).
 */

const PRECISION_BITS = 32 - 8 - 2;

/** Where one output pixel reads: `weights[i]` belongs to input pixel `first + i`. */
interface Window {
  first: number;
  weights: Int32Array;
}

/** A window for each of `outSize` pixels over `inSize` pixels. */
function windows(inSize: number, outSize: number): Window[] {
  const scale = inSize / outSize;
  const support = Math.max(scale, 1);
  return Array.from({ length: outSize }, (_, out) => {
    const center = (out + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), inSize);
    const triangle = new Float64Array(end - first);
    let sum = 0;
    for (let i = 0; i < triangle.length; i++) {
      triangle[i] = Math.max(1 - Math.abs((i + first - center + 0.5) * (1 / support)), 0);
      sum += triangle[i];
    }
    return { first, weights: Int32Array.from(triangle, (w) => 0.5 + (w / sum) * (1 << PRECISION_BITS)) };
  });
}

/** A sum of weighted pixels as a pixel: rounded, cut off at 0 and 255. */
function clip8(sum: number): number {
  return Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
}

const HALF = 1 << (PRECISION_BITS - 1);

/**
 * Stretches a photo that is handed over in strips of rows, so that no copy of a large one is held.
 *
 * @example
 * const resize = new Resize([height, width], [224, 224]);
 * resize.push(rows); // RGBA, whole rows, from the top
 * const pixels = resize.finish(); // RGB
 */
export class Resize {
  private readonly columns: Window[];
  private readonly rows: Window[];
  private readonly narrow: Uint8Array; // (height, outWidth, 3): after the first pass
  private filled = 0;

  /**
   * @param size the photo's [height, width]
   * @param outSize the wanted [height, width]
   */
  constructor(
    private readonly size: readonly [number, number],
    private readonly outSize: readonly [number, number],
  ) {
    this.columns = windows(size[1], outSize[1]);
    this.rows = windows(size[0], outSize[0]);
    this.narrow = new Uint8Array(size[0] * outSize[1] * 3);
  }

  /** The next rows, RGBA; alpha is not looked at. */
  push(rgba: Uint8ClampedArray | Uint8Array): void {
    const stride = this.size[1] * 4;
    for (let start = 0; start < rgba.length; start += stride) {
      for (const { first, weights } of this.columns) {
        let red = HALF;
        let green = HALF;
        let blue = HALF;
        for (let i = 0, at = start + first * 4; i < weights.length; i++, at += 4) {
          red += rgba[at] * weights[i];
          green += rgba[at + 1] * weights[i];
          blue += rgba[at + 2] * weights[i];
        }
        this.narrow[this.filled++] = clip8(red);
        this.narrow[this.filled++] = clip8(green);
        this.narrow[this.filled++] = clip8(blue);
      }
    }
  }

  /** The stretched photo, RGB, `outHeight * outWidth * 3` bytes, row by row. */
  finish(): Uint8Array {
    const stride = this.outSize[1] * 3;
    const out = new Uint8Array(this.outSize[0] * stride);
    this.rows.forEach(({ first, weights }, row) => {
      for (let x = 0; x < stride; x++) {
        let sum = HALF;
        for (let i = 0; i < weights.length; i++) sum += this.narrow[(first + i) * stride + x] * weights[i];
        out[row * stride + x] = clip8(sum);
      }
    });
    return out;
  }
}
