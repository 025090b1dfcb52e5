import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { beamSearch, score } from '../../src/beamSearch';
import type { Search } from '../../src/settings';
import { fixture } from '../fixtures';

interface Found {
  search: Search;
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
  const title =
    'chain $chain, width $search.beam_width, penalty $search.length_penalty, n-gram $search.no_repeat_ngram';
  test.each(cases)(title, async ({ table, search, ...wanted }) => {
    const best = await beamSearch(walk(table), 0, { maxLength: table.length, search });
    expect(best.tokens).toEqual(wanted.tokens);
    expect(best.logProb).toBeCloseTo(wanted.logProb, 4);
    expect(score(best, search.length_penalty)).toBeCloseTo(wanted.score, 4);
    expect(best.attention.map(([t]) => t)).toEqual(wanted.tokens.map((_, t) => t));
  });
});

test('the cases differ by each field of the search', () => {
  const tokens = (keep: (search: Search) => boolean) =>
    JSON.stringify(chains.map(({ found }) => found.filter(({ search }) => keep(search)).map((each) => each.tokens)));
  expect(tokens(({ beam_width }) => beam_width === 5)).not.toEqual(tokens(({ beam_width }) => beam_width === 1));
  expect(tokens(({ length_penalty }) => length_penalty === 1)).not.toEqual(
    tokens(({ length_penalty }) => length_penalty === 0),
  );
  const byNgram = [0, 1, 2, 3].map((n) => tokens(({ no_repeat_ngram }) => no_repeat_ngram === n));
  expect(new Set(byNgram).size).toBe(4);
});

test('tells the best caption after each word', async () => {
  const { table } = chains[0];
  const lengths: number[] = [];
  const best = await beamSearch(walk(table), 0, {
    maxLength: table.length,
    search: { beam_width: 1, length_penalty: 0, no_repeat_ngram: 0 },
    onWord: async ({ tokens }) => void lengths.push(tokens.length),
  });
  expect(lengths).toEqual(best.tokens.map((_, n) => n + 1));
});
