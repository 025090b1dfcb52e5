/**
 * Beam search over any step function; width 1 is greedy. What `sat_edge/beam_search.py` does, beam by
 * beam.
 */
import type { Search } from './settings';

export const [PAD, START, END, UNKNOWN] = [0, 1, 2, 3];

/** A caption so far. */
export interface Beam<State> {
  tokens: number[];
  /** The weights over the locations with which each token was chosen. */
  attention: Float32Array[];
  /** Natural logarithm of the probability of all tokens. */
  logProb: number;
  state: State;
}

/** From a token and the state before it: the next word's logits `(V)`, the new state, attention `(L)`. */
export type Step<State> = (
  token: number,
  state: State,
) => Promise<{ logits: Float32Array; state: State; attention: Float32Array }>;

export interface SearchOptions<State> {
  maxLength: number;
  search: Search;
  /** Told the best beam after each word. */
  onWord?: (best: Beam<State>) => Promise<void>;
}

/** The best caption. */
export async function beamSearch<State>(
  step: Step<State>,
  state: State,
  { maxLength, search, onWord }: SearchOptions<State>,
): Promise<Beam<State>> {
  const { beam_width, length_penalty } = search;
  let beams: Beam<State>[] = [{ tokens: [], attention: [], logProb: 0, state }];
  while (!settled(beams, maxLength, length_penalty)) {
    const grown: Beam<State>[] = [];
    for (const beam of beams) grown.push(...(finished(beam) ? [beam] : await grow(step, beam, search)));
    beams = grown.sort((a, b) => score(b, length_penalty) - score(a, length_penalty)).slice(0, beam_width);
    await onWord?.(beams[0]);
  }
  return beams[0];
}

export function score(beam: Beam<unknown>, lengthPenalty: number): number {
  return beam.logProb / Math.max(beam.tokens.length, 1) ** lengthPenalty;
}

function finished(beam: Beam<unknown>): boolean {
  return beam.tokens.at(-1) === END;
}

/** Whether no running beam can become the best any more. */
function settled(beams: Beam<unknown>[], maxLength: number, lengthPenalty: number): boolean {
  const running = beams.filter((beam) => !finished(beam));
  if (!running.length || running[0].tokens.length === maxLength) return true;
  const limit = Math.max(...running.map((beam) => beam.logProb)) / maxLength ** lengthPenalty;
  return beams.some((beam) => finished(beam) && score(beam, lengthPenalty) > limit);
}

/** The beam with each of its most probable next words, as many as beams are kept. */
async function grow<State>(
  step: Step<State>,
  beam: Beam<State>,
  { beam_width, no_repeat_ngram }: Search,
): Promise<Beam<State>[]> {
  const { logits, state, attention } = await step(beam.tokens.at(-1) ?? START, beam.state);
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const logSum = highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  const barred = new Set([PAD, START, UNKNOWN, ...closing(beam.tokens, no_repeat_ngram)]);
  return mostProbable(logits, beam_width, barred).map((word) => ({
    tokens: [...beam.tokens, word],
    attention: [...beam.attention, attention],
    logProb: beam.logProb + logits[word] - logSum,
    state,
  }));
}

/** Words that would close a run of `n` words which `tokens` already holds; with an `n` of 0, none. */
function closing(tokens: number[], n: number): number[] {
  if (!n) return [];
  const last = tokens.slice(tokens.length - n + 1); // n - 1 words
  return tokens.filter((_, i) => i >= n - 1 && last.every((word, j) => tokens[i - n + 1 + j] === word));
}

/** Ids of the `count` highest logits that are not barred, the highest first. */
function mostProbable(logits: Float32Array, count: number, barred: Set<number>): number[] {
  const words: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    if (barred.has(id)) continue;
    let place = words.length;
    while (place > 0 && logits[id] > logits[words[place - 1]]) place--;
    if (place < count) words.splice(place, 0, id);
    if (words.length > count) words.pop();
  }
  return words;
}
