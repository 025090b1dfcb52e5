import { InputError } from './inputError';
import { Resize } from './resize';

/** A photo that the browser has opened: upright, first frame, colours as they are stored. */
export async function openPhoto(file: Blob, name: string): Promise<ImageBitmap> {
  if (file.size === 0) throw new InputError(`${name} is empty: choose another photo.`);
  try {
    return await createImageBitmap(file, { imageOrientation: 'from-image', colorSpaceConversion: 'none' });
  } catch {
    throw new InputError(`${name} is not a photo that this browser can open: choose a JPEG, PNG or WebP file.`);
  }
}

const STRIP = 256; // rows that are read at once: a phone's canvas holds no photo of 50 megapixels

/**
 * The photo as the model takes it: transparency on white, the whole of it stretched.
 *
 * @param size the model's [height, width]
 * @returns RGB, 0..255, `height * width * 3` bytes
 */
export function toPixels(photo: ImageBitmap, size: readonly [number, number]): Uint8Array {
  const { width, height } = photo;
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = Math.min(STRIP, height);
  const context = canvas.getContext('2d', { alpha: false, willReadFrequently: true })!;
  const resize = new Resize([height, width], size);
  for (let top = 0; top < height; top += STRIP) {
    const rows = Math.min(STRIP, height - top);
    context.fillStyle = 'white';
    context.fillRect(0, 0, width, rows);
    context.drawImage(photo, 0, -top);
    resize.push(context.getImageData(0, 0, width, rows).data);
  }
  return resize.finish();
}
