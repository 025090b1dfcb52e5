/** `captioner.json`, what a file says of itself: `docs/file-format.md` describes every field. */
import { InputError } from './inputError';

const FORMAT = 1;
const RESIZE = 'stretch, bilinear, antialiased'; // what resize.ts does
// The values of `least_litert` whose files LiteRT.js runs correctly; its own versions count differently.
const LITERT = ['1.4', '2.1'];
const MOST_PIXELS = 4096; // of a side
const MOST_WORDS = 1000; // of a caption

/** How a caption is searched for; a beam width of 1 is greedy. */
export interface Search {
  /** Beams that are kept at each word. */
  beam_width: number;
  /** A caption's score is its `logProb / length ** length_penalty`. */
  length_penalty: number;
  /** No such number of words in a row comes twice in a caption; 0 is off. */
  no_repeat_ngram: number;
}

/** [ymin, xmin, ymax, xmax], the photo being 0..1. */
export type Region = [number, number, number, number];

/** What of `captioner.json` this page needs. */
export interface Settings {
  /** [height, width] */
  image_size: [number, number];
  /** Each location's part of the photo. */
  regions: Region[];
  max_length: number;
  vocabulary_size: number;
  /** Outputs of `encode` that `step` takes: those that it returns anew, and those that stay. */
  state: { returned: string[]; kept: string[] };
  /** The file's default search. */
  search: Search;
}

type Fields = Record<string, unknown>;

const EXPORT_AGAIN = 'export it again with “sat-keras export”';

/**
 * Reads and checks the text of `captioner.json`.
 *
 * @param name the file's, for the message
 * @throws InputError if it is not JSON, of another format, or a field is missing or out of its range
 */
export function readSettings(text: string, name: string): Settings {
  const fields = parse(text);
  if (!fields) throw new InputError(`${name} has settings that cannot be read: ${EXPORT_AGAIN}.`);
  checkFormat(fields, name);

  /** A field, if it holds what it should. */
  function read<T>(field: string, holds: (value: unknown) => value is T): T {
    const value = fields![field];
    if (holds(value)) return value;
    const found = value === undefined ? `no ${field}` : `a wrong ${field}, ${shown(value)}`;
    throw new InputError(`${name} has ${found}: ${EXPORT_AGAIN}.`);
  }

  read('resize', (value): value is string => value === RESIZE);
  checkLiteRt(read('least_litert', isVersion), name);
  const [rows, columns] = read('grid', isSize);
  return {
    image_size: read('image_size', isSize),
    regions: read('regions', (value): value is Region[] => isList(value, isRegion, rows * columns)),
    max_length: read('max_length', (value): value is number => isWhole(value, 1, MOST_WORDS)),
    vocabulary_size: read('vocabulary_size', (value): value is number => isWhole(value, 5)),
    state: read('state', isState),
    search: read('search', isSearch),
  };
}

function parse(text: string): Fields | undefined {
  try {
    const content: unknown = JSON.parse(text);
    return isObject(content) ? content : undefined;
  } catch {
    return undefined;
  }
}

function checkFormat({ format }: Fields, name: string): void {
  if (format === undefined) throw new InputError(`${name} was made by sat_keras 0.1: ${EXPORT_AGAIN}.`);
  if (format !== FORMAT) {
    throw new InputError(
      `${name} has format ${shown(format)}, and this page reads format ${FORMAT}: use a newer page, or ${EXPORT_AGAIN}.`,
    );
  }
}

function checkLiteRt(least: string, name: string): void {
  if (!LITERT.includes(least)) {
    throw new InputError(`${name} needs LiteRT ${least}, which this page does not have: use a newer page.`);
  }
}

/** A value as it stands in the file, cut off where it is long. */
function shown(value: unknown): string {
  return JSON.stringify(value).slice(0, 60);
}

// === What fields hold ===

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWhole(value: unknown, least: number, most = 2 ** 31 - 1): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

function isList<T>(value: unknown, holds: (each: unknown) => each is T, length?: number): value is T[] {
  return Array.isArray(value) && (length === undefined || value.length === length) && value.every(holds);
}

function isSize(value: unknown): value is [number, number] {
  return isList(value, (each): each is number => isWhole(each, 1, MOST_PIXELS), 2);
}

function isRegion(value: unknown): value is Region {
  return isList(value, (each): each is number => Number.isFinite(each), 4);
}

function isVersion(value: unknown): value is string {
  return typeof value === 'string' && /^\d{1,4}(\.\d{1,4}){0,3}$/.test(value);
}

function isState(value: unknown): value is Settings['state'] {
  const isName = (each: unknown): each is string => typeof each === 'string';
  if (!isObject(value) || !isList(value.returned, isName) || !isList(value.kept, isName)) return false;
  return new Set([...value.returned, ...value.kept]).size === value.returned.length + value.kept.length;
}

function isSearch(value: unknown): value is Search {
  if (!isObject(value)) return false;
  const { beam_width, length_penalty, no_repeat_ngram, n_best } = value;
  return (
    isWhole(beam_width, 1) &&
    Number.isFinite(length_penalty) &&
    (length_penalty as number) >= 0 &&
    isWhole(no_repeat_ngram, 0) &&
    isWhole(n_best, 1, beam_width)
  );
}
