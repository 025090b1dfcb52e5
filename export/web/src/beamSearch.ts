/**
 * Beam search over any step function; width 1 is greedy. What `sat_edge/beam_search.py` does, beam by
 * beam.
 */

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
  /** Beams that are kept at each word. */
  width: number;
  /** A caption's score is its `logProb / length ** lengthPenalty`. */
  lengthPenalty: number;
  /** Told the best beam after each word. */
  onWord?: (best: Beam<State>) => Promise<void>;
}

/** The best caption. */
export async function beamSearch<State>(
  step: Step<State>,
  state: State,
  { maxLength, width, lengthPenalty, onWord }: SearchOptions<State>,
): Promise<Beam<State>> {
  let beams: Beam<State>[] = [{ tokens: [], attention: [], logProb: 0, state }];
  while (!settled(beams, maxLength, lengthPenalty)) {
    const grown: Beam<State>[] = [];
    for (const beam of beams) grown.push(...(finished(beam) ? [beam] : await grow(step, beam, width)));
    beams = grown.sort((a, b) => score(b, lengthPenalty) - score(a, lengthPenalty)).slice(0, width);
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

/** The beam with each of its `width` most probable next words. */
async function grow<State>(step: Step<State>, beam: Beam<State>, width: number): Promise<Beam<State>[]> {
  const { logits, state, attention } = await step(beam.tokens.at(-1) ?? START, beam.state);
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const logSum = highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  return mostProbable(logits, width).map((word) => ({
    tokens: [...beam.tokens, word],
    attention: [...beam.attention, attention],
    logProb: beam.logProb + logits[word] - logSum,
    state,
  }));
}

/** Ids of the `count` highest logits that are words or `<end>`, the highest first. */
function mostProbable(logits: Float32Array, count: number): number[] {
  const words: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    if (id === PAD || id === START || id === UNKNOWN) continue;
    let place = words.length;
    while (place > 0 && logits[id] > logits[words[place - 1]]) place--;
    if (place < count) words.splice(place, 0, id);
    if (words.length > count) words.pop();
  }
  return words;
}
