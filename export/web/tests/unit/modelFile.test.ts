import { readFileSync } from 'node:fs';

import { zipSync, strToU8 } from 'fflate';
import { expect, test } from 'vitest';

import { openModel } from '../../src/modelFile';
import { fixture } from '../fixtures';

const read = (name: string) => new Uint8Array(readFileSync(fixture(`models/${name}`)));

/** A model of 100 bytes with a zip at its end. */
function withZip(files: Record<string, string>): Uint8Array {
  const zip = zipSync(Object.fromEntries(Object.entries(files).map(([name, text]) => [name, strToU8(text)])));
  const model = new Uint8Array(100 + zip.length);
  model.set(strToU8('TFL3'), 4);
  model.set(zip, 100);
  return model;
}
const { good } = JSON.parse(readFileSync(fixture('settings.json'), 'utf8'));
const settingsOf = (vocabulary_size: number) => JSON.stringify({ ...good, vocabulary_size });

test('vocabulary and settings of a file that Python made', () => {
  const { vocabulary, settings } = openModel(read('float32.tflite'), 'float32.tflite');
  expect(vocabulary.slice(0, 4)).toEqual(['<pad>', '<start>', '<end>', '<unk>']);
  expect(vocabulary).toHaveLength(settings.vocabulary_size);
  expect(settings.image_size).toEqual([224, 224]);
  expect(settings.regions).toHaveLength(49);
});

test('a zip whose offsets count from its own start', () => {
  const model = withZip({
    'vocabulary.txt': '<pad>\n<start>\n<end>\n<unk>\ndog\n',
    'captioner.json': settingsOf(5),
  });
  expect(openModel(model, 'm').vocabulary[4]).toBe('dog');
});

test('only a line feed ends a word', () => {
  const words = ['<pad>', '<start>', '<end>', '<unk>', 'dog\r', 'a\u2028b', '\u00a0'];
  const model = withZip({ 'vocabulary.txt': `${words.join('\n')}\n`, 'captioner.json': settingsOf(7) });
  expect(openModel(model, 'm').vocabulary).toEqual(words);
});

test('a vocabulary that is not as long as the settings say', () => {
  const model = withZip({ 'vocabulary.txt': 'a\nb\nc\n', 'captioner.json': settingsOf(16) });
  expect(() => openModel(model, 'm.tflite')).toThrow(
    'm.tflite has 3 words in its vocabulary, 16 in its settings: export it again with “sat-keras export”.',
  );
});

test('bad settings are named with the file', () => {
  const model = withZip({ 'vocabulary.txt': 'a\n', 'captioner.json': '{"format": 1}' });
  expect(() => openModel(model, 'm.tflite')).toThrow(/^m\.tflite has no resize: /);
});

test.each(['vocabulary.txt', 'captioner.json'])('a zip without %s', (left) => {
  const files: Record<string, string> = { 'vocabulary.txt': 'a\n', 'captioner.json': settingsOf(5) };
  delete files[left];
  expect(() => openModel(withZip(files), 'm.tflite')).toThrow('m.tflite has no vocabulary inside');
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
