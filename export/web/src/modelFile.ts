import { unzipSync } from 'fflate';

import { InputError } from './inputError';

/** What of `captioner.json` this page needs. */
export interface Settings {
  /** [height, width] */
  image_size: [number, number];
  max_length: number;
  /** [rows, columns] */
  grid: [number, number];
  /** Each location's part of the photo: [ymin, xmin, ymax, xmax], 0..1. */
  regions: [number, number, number, number][];
}

/** A `captioner.tflite`, with what lies inside it. */
export interface ModelFile {
  name: string;
  bytes: Uint8Array;
  /** Id to word; 0 `<pad>`, 1 `<start>`, 2 `<end>`, 3 `<unk>`. */
  vocabulary: string[];
  settings: Settings;
}

const KEPT = 'models';

/**
 * A model by its address. It is asked for anew each time; without network, the last copy is taken.
 *
 * @param onBytes told how many bytes have come, and of how many (0: unknown)
 */
export async function fetchModel(
  url: string,
  onBytes: (loaded: number, total: number) => void,
): Promise<ModelFile> {
  const name = decodeURIComponent(new URL(url, location.href).pathname.split('/').pop() || url);
  const cache = 'caches' in window ? await caches.open(KEPT) : undefined; // none without https
  let response: Response | undefined;
  try {
    response = await fetch(url, { cache: 'no-cache' });
  } catch {
    response = await cache?.match(url, { ignoreVary: true });
    if (!response) throw new InputError(`${name} could not be loaded: check its address and the connection.`);
  }
  if (!response.ok) throw new InputError(`${name} is not there (${response.status}): choose a model file.`);
  const bytes = await readBytes(response, onBytes);
  const model = openModel(bytes, name);
  await cache?.put(url, new Response(bytes as BufferSource)).catch(() => {}); // a full disk is no reason to stop
  return model;
}

async function readBytes(response: Response, onBytes: (loaded: number, total: number) => void) {
  const total = Number(response.headers.get('content-encoding') ? 0 : response.headers.get('content-length'));
  const chunks: Uint8Array[] = [];
  let loaded = 0;
  const reader = response.body!.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    chunks.push(part.value);
    loaded += part.value.length;
    onBytes(loaded, total);
  }
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

/** Reads the vocabulary and the settings out of a model's bytes. */
export function openModel(bytes: Uint8Array, name: string): ModelFile {
  if (new TextDecoder('latin1').decode(bytes.subarray(4, 8)) !== 'TFL3') {
    throw new InputError(`${name} is no model: choose a .tflite file that “sat-keras export” made.`);
  }
  try {
    const inside = unzipSync(appendedZip(bytes));
    const vocabulary = new TextDecoder().decode(inside['vocabulary.txt']).trimEnd().split(/\r?\n/);
    const settings = JSON.parse(new TextDecoder().decode(inside['captioner.json'])) as Settings;
    if (vocabulary.length < 5) throw new Error('no words');
    return { name, bytes, vocabulary, settings };
  } catch {
    throw new InputError(`${name} has no vocabulary inside: export it again with “sat-keras export”.`);
  }
}

const END_OF_ZIP = 0x06054b50;
const END_SIZE = 22; // without comment

/** The zip at the end of other bytes. Its offsets count from its own start or from the file's. */
function appendedZip(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - END_SIZE;
  while (end >= 0 && view.getUint32(end, true) !== END_OF_ZIP) end--;
  if (end < 0) throw new Error('no zip');
  const directorySize = view.getUint32(end + 12, true);
  const directoryOffset = view.getUint32(end + 16, true);
  return bytes.subarray(end - directorySize - directoryOffset);
}
