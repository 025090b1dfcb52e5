import { readFileSync } from 'node:fs';

import { zipSync, strToU8 } from 'fflate';
import { expect, test } from 'vitest';

import { openModel } from '../../src/modelFile';
import { fixture } from '../fixtures';

const read = (name: string) => new Uint8Array(readFileSync(fixture(`models/${name}`)));

test('vocabulary and settings of a file that Python made', () => {
  const { vocabulary, settings } = openModel(read('dynamic.tflite'), 'dynamic.tflite');
  expect(vocabulary.slice(0, 4)).toEqual(['<pad>', '<start>', '<end>', '<unk>']);
  expect(vocabulary).toHaveLength((settings as unknown as { vocabulary_size: number }).vocabulary_size);
  expect(settings.image_size).toEqual([224, 224]);
  expect(settings.regions).toHaveLength(settings.grid[0] * settings.grid[1]);
});

test('a zip whose offsets count from its own start', () => {
  const zip = zipSync({
    'vocabulary.txt': strToU8('<pad>\n<start>\n<end>\n<unk>\ndog\n'),
    'captioner.json': strToU8('{"grid": [1, 1]}'),
  });
  const model = new Uint8Array(100 + zip.length);
  model.set(strToU8('TFL3'), 4);
  model.set(zip, 100);
  expect(openModel(model, 'm').vocabulary[4]).toBe('dog');
});

test.each([
  ['text.tflite', 'is no model'],
  ['no-vocabulary.tflite', 'no vocabulary inside'],
])('%s is named', (name, says) => {
  expect(() => openModel(read(name), name)).toThrow(new RegExp(`^${name} .*${says}`));
});

test('an empty file is no model', () => {
  expect(() => openModel(new Uint8Array(), 'empty.tflite')).toThrow('empty.tflite is no model');
});
