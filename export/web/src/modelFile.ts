import { unzipSync } from 'fflate';

import { InputError } from './inputError';
import { readSettings, type Settings } from './settings';

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

/**
 * Reads the vocabulary and the settings out of a model's bytes.
 *
 * @throws InputError if it is no captioner's file, or its settings cannot be used here
 */
export function openModel(bytes: Uint8Array, name: string): ModelFile {
  if (new TextDecoder('latin1').decode(bytes.subarray(4, 8)) !== 'TFL3') {
    throw new InputError(`${name} is no model: choose a .tflite file that “sat-keras export” made.`);
  }
  const texts = readInside(bytes);
  if (!texts) throw new InputError(`${name} has no vocabulary inside: export it again with “sat-keras export”.`);
  const settings = readSettings(texts.settings, name);
  const vocabulary = texts.vocabulary.replace(/\n$/, '').split('\n'); // no other line break ends a word
  if (vocabulary.length !== settings.vocabulary_size) {
    const [words, wanted] = [vocabulary.length, settings.vocabulary_size];
    throw new InputError(
      `${name} has ${words} words in its vocabulary, ${wanted} in its settings: export it again with “sat-keras export”.`,
    );
  }
  return { name, bytes, vocabulary, settings };
}

/** The texts in the zip at a model's end; undefined if there is none with both of them. */
function readInside(bytes: Uint8Array): { vocabulary: string; settings: string } | undefined {
  try {
    const inside = unzipSync(appendedZip(bytes));
    const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const { 'vocabulary.txt': vocabulary, 'captioner.json': settings } = inside;
    return vocabulary && settings && { vocabulary: utf8.decode(vocabulary), settings: utf8.decode(settings) };
  } catch {
    return undefined;
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
