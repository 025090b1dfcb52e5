import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { InputError } from '../../src/inputError';
import { readSettings } from '../../src/settings';
import { fixture } from '../fixtures';

interface Case {
  field: string | null;
  text: string;
  refused: boolean;
}
const { good, cases }: { good: Record<string, unknown>; cases: Case[] } = JSON.parse(
  readFileSync(fixture('settings.json'), 'utf8'),
);
const read = (fields: Record<string, unknown>) => readSettings(JSON.stringify({ ...good, ...fields }), 'm.tflite');
const search = good.search as Record<string, number>;

test('what Python wrote', () => {
  const settings = read({});
  expect(settings.image_size).toEqual([32, 64]);
  expect(settings.regions).toHaveLength(8);
  expect(settings.regions[5]).toEqual([0.5, 0.25, 1, 0.5]);
  expect(settings.max_length).toBe(7);
  expect(settings.vocabulary_size).toBe(16);
  expect(settings.state).toEqual({ returned: ['h', 'c'], kept: ['annotations', 'projected'] });
  expect(settings.search).toMatchObject({ beam_width: 3, length_penalty: 0.5, no_repeat_ngram: 2 });
});

describe('refuses what sat_edge refuses, in one line that names the file and the field', () => {
  const titled = cases.map(({ field, text, refused }) => {
    const title = field ? `${field}: ${JSON.stringify(JSON.parse(text)[field])}` : `text: ${text}`;
    return { field, text, refused, title };
  });
  test.each(titled)('$title', ({ field, text, refused }) => {
    let error: unknown;
    try {
      readSettings(text, 'm.tflite');
    } catch (caught) {
      error = caught;
    }
    if (!refused) return expect(error).toBeUndefined();
    expect(error).toBeInstanceOf(InputError);
    const { message } = error as InputError;
    expect(message).toMatch(new RegExp(`^m\\.tflite has .*${field ?? 'settings'}.*: .*export it again`));
    expect(message).not.toContain('\n');
    expect(message.length).toBeLessThan(200);
  });

  test('the cases are of both kinds', () => {
    expect(new Set(cases.map(({ refused }) => refused)).size).toBe(2);
    const refused = new Set(cases.filter((each) => each.refused).map(({ field }) => field));
    expect([...refused].filter(Boolean).sort()).toEqual(
      ['format', 'grid', 'image_size', 'least_litert', 'max_length', 'regions']
        .concat(['resize', 'search', 'state', 'vocabulary_size'])
        .sort(),
    );
  });
});

const AGAIN = 'export it again with “sat-keras export”';

test.each([
  [{ format: undefined }, `m.tflite was made by sat_keras 0.1: ${AGAIN}.`],
  [{ format: 2 }, `m.tflite has format 2, and this page reads format 1: use a newer page, or ${AGAIN}.`],
  [{ format: null }, `m.tflite has format null, and this page reads format 1: use a newer page, or ${AGAIN}.`],
  [{ max_length: undefined }, `m.tflite has no max_length: ${AGAIN}.`],
  [{ image_size: [0, 64] }, `m.tflite has a wrong image_size, [0,64]: ${AGAIN}.`],
  [{ resize: 'x'.repeat(99) }, `m.tflite has a wrong resize, "${'x'.repeat(59)}: ${AGAIN}.`],
  [{ state: { kept: ['a\nb'] } }, `m.tflite has a wrong state, {"kept":["a\\nb"]}: ${AGAIN}.`],
  [{ least_litert: '3.0' }, 'm.tflite needs LiteRT 3.0, which this page does not have: use a newer page.'],
])('%o', (fields, says) => {
  expect(() => read(fields)).toThrow(new InputError(says));
});

test.each(['beam_width', 'length_penalty', 'no_repeat_ngram', 'n_best'])('a search without %s is refused', (field) => {
  expect(() => read({ search: { ...search, [field]: undefined } })).toThrow(/^m\.tflite has a wrong search, /);
});

test('fields that are not known, of the file and of its search, are passed over', () => {
  const settings = read({ more: 1, search: { ...search, more: 1 } });
  expect(settings).toEqual({ ...read({}), search: expect.objectContaining(search) });
});
