import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { beamSearch, score } from '../../src/beamSearch';
import { fixture } from '../fixtures';

interface Found {
  width: number;
  lengthPenalty: number;
  tokens: number[];
  logProb: number;
  score: number;
}
const chains: { table: number[][][]; found: Found[] }[] = JSON.parse(readFileSync(fixture('searches.json'), 'utf8'));

/** A step that looks its logits up: the state counts the words. */
const walk = (table: number[][][]) => async (token: number, t: number) => ({
  logits: Float32Array.from(table[t][token]),
  state: t + 1,
  attention: Float32Array.of(t),
});

describe('finds what sat_edge.beam_search finds', () => {
  const cases = chains.flatMap(({ table, found }, chain) => found.map((wanted) => ({ table, chain, ...wanted })));
  test.each(cases)('chain $chain, width $width, length penalty $lengthPenalty', async ({ table, ...wanted }) => {
    const { width, lengthPenalty } = wanted;
    const best = await beamSearch(walk(table), 0, { maxLength: table.length, width, lengthPenalty });
    expect(best.tokens).toEqual(wanted.tokens);
    expect(best.logProb).toBeCloseTo(wanted.logProb, 4);
    expect(score(best, lengthPenalty)).toBeCloseTo(wanted.score, 4);
    expect(best.attention.map(([t]) => t)).toEqual(wanted.tokens.map((_, t) => t));
  });
});

test('the cases differ by width and by length penalty', () => {
  const tokens = (keep: (found: Found) => boolean) =>
    JSON.stringify(chains.map(({ found }) => found.filter(keep).map((each) => each.tokens)));
  expect(tokens((each) => each.width === 5)).not.toEqual(tokens((each) => each.width === 1));
  expect(tokens((each) => each.lengthPenalty === 1)).not.toEqual(tokens((each) => each.lengthPenalty === 0));
});

test('tells the best caption after each word', async () => {
  const { table } = chains[0];
  const lengths: number[] = [];
  const best = await beamSearch(walk(table), 0, {
    maxLength: table.length,
    width: 1,
    lengthPenalty: 0,
    onWord: async ({ tokens }) => void lengths.push(tokens.length),
  });
  expect(lengths).toEqual(best.tokens.map((_, n) => n + 1));
});
