import { Camera } from './camera';
import { Captioner, UNFAMILIAR, bestBackend, startRuntime, type Backend, type Caption } from './captioner';
import { HEAT_SIZE, heatField, lookInWords, paintHeat } from './heatmap';
import { InputError } from './inputError';
import { fetchModel, openModel, type ModelFile } from './modelFile';
import { keepForOffline } from './offline';
import { openPhoto, toPixels } from './photo';

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const frame = element('frame');
const photoCanvas = element<HTMLCanvasElement>('photo');
const heatCanvas = element<HTMLCanvasElement>('heat');
const viewfinder = element<HTMLVideoElement>('viewfinder');
const captionLine = element('caption');
const trustLine = element('trust');
const strip = element('strip');
const beamWidth = element<HTMLInputElement>('beam-width');
const mostBeams = Number(beamWidth.max); // the slider reaches further only for a file that needs it
const stillness = matchMedia('(prefers-reduced-motion: reduce)');
const asked = new URLSearchParams(location.search);

let captioner: Captioner | undefined;
let loading = false; // a model
let photo: ImageBitmap | undefined;
let shown: Caption | undefined; // whose words are on the page

// === What is said to the user ===

function notify(message: string) {
  element('notice').textContent = message;
  element('notice').hidden = !message;
}

/** Runs what a user asked for; what goes wrong is said and ends nothing. */
async function attempt(work: () => Promise<void>) {
  notify('');
  try {
    await work();
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return; // something newer was asked for
    console.error(error);
    notify(error instanceof InputError ? error.message : `Something went wrong: ${(error as Error).message}`);
  }
}

function showEngine(note = '') {
  const { model, backend } = captioner!;
  const megabytes = (model.bytes.length / 1e6).toFixed(1);
  element('engine').textContent = `${note} ${model.name}, ${megabytes} MB, on ${backend === 'webgpu' ? 'WebGPU' : 'WASM'}`;
}

// === Model ===

async function useModel(read: () => Promise<ModelFile>) {
  const before = element('engine').textContent;
  loading = true;
  try {
    element('engine').textContent = 'Loading the model…';
    const backend = (asked.get('backend') as Backend | null) ?? (await bestBackend());
    const [model] = await Promise.all([read(), startRuntime(backend)]);
    let note = '';
    const next = await Captioner.load(model, backend, (said) => {
      note = said;
      if (captioner) showEngine(said);
    });
    await stop();
    captioner?.delete();
    captioner = next;
    showEngine(note);
    setBeamWidth(model.settings.search.beam_width);
  } catch (error) {
    element('engine').textContent = captioner ? before : 'No model yet';
    throw error;
  } finally {
    loading = false;
  }
  if (photo) await captionPhoto();
}

function fetchModelWithProgress(): Promise<ModelFile> {
  return fetchModel(new URL(asked.get('model') ?? 'captioner.tflite', location.href).href, (loaded, total) => {
    const of = total ? ` of ${(total / 1e6).toFixed(1)}` : '';
    element('engine').textContent = `Loading the model: ${(loaded / 1e6).toFixed(1)}${of} MB`;
  });
}

const readModel = async (file: File) => openModel(new Uint8Array(await file.arrayBuffer()), file.name);

// === Photo ===

async function usePhoto(opened: ImageBitmap) {
  photo?.close();
  photo = opened;
  closeCamera();
  const scale = Math.min(1, 1600 / Math.max(photo.width, photo.height));
  photoCanvas.width = Math.max(1, Math.round(photo.width * scale));
  photoCanvas.height = Math.max(1, Math.round(photo.height * scale));
  const context = photoCanvas.getContext('2d', { alpha: false })!;
  context.fillStyle = 'white';
  context.fillRect(0, 0, photoCanvas.width, photoCanvas.height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(photo, 0, 0, photoCanvas.width, photoCanvas.height);
  photoCanvas.hidden = false;
  element('invitation').hidden = true;
  frame.classList.remove('empty');
  const ratio = Math.min(Math.max(photo.width / photo.height, 0.4), 3);
  document.body.style.setProperty('--ratio', String(ratio));
  if (captioner) await captionPhoto();
  else if (!loading) throw new InputError('There is no model yet: choose one with “Model…”.');
}

/** Files that were chosen, dropped or pasted: a model, or else a photo. */
async function useFile(file: File | undefined) {
  if (file?.name.endsWith('.tflite')) await useModel(() => readModel(file));
  else if (file) await usePhoto(await openPhoto(file, file.name));
}

// === Caption ===

let running: { controller: AbortController; ended: Promise<unknown> } | undefined;

/** Ends a caption that is being made. */
async function stop() {
  running?.controller.abort();
  await running?.ended.catch(() => {});
}

async function captionPhoto() {
  await stop();
  const controller = new AbortController();
  const ended = makeCaption(controller.signal);
  running = { controller, ended };
  await ended;
}

async function makeCaption(signal: AbortSignal) {
  clearCaption();
  document.body.setAttribute('aria-busy', 'true');
  const beam_width = beamWidth.valueAsNumber;
  const started = performance.now();
  const pixels = toPixels(photo!, captioner!.model.settings.image_size);
  const prepareTime = performance.now() - started;
  try {
    // With several beams the words may still change: they are shown at the end.
    const onWord = beam_width === 1 ? (caption: Caption) => showWords(caption) : undefined;
    const caption = await captioner!.caption(pixels, { search: { beam_width }, onWord, signal });
    showWords(caption);
    following.push(window.setTimeout(showAttention, nextWordAt + 1000 - performance.now(), -1));
    showTiming(caption, prepareTime);
    trustLine.textContent = trustInWords(caption);
    const warning = isUnfamiliar(caption) ? ` ${STRANGE}` : '';
    element('spoken').textContent = `Caption: ${caption.text}.${warning}`;
  } finally {
    document.body.removeAttribute('aria-busy');
  }
}

const STRANGE = 'This photo is unlike those that the model learnt from: the caption may mean nothing.';
const isUnfamiliar = ({ familiarity }: Caption) => familiarity !== undefined && familiarity < UNFAMILIAR;

/** Empty for a model that was never calibrated. */
function trustInWords(caption: Caption): string {
  if (isUnfamiliar(caption)) return STRANGE;
  return caption.confidence === undefined ? '' : `Confidence ${Math.round(100 * caption.confidence)} %`;
}

const milliseconds = (time: number) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;

function showTiming({ encodeTime, decodeTime, tokens }: Caption, prepareTime: number) {
  element('encode-time').textContent = milliseconds(encodeTime);
  element('word-time').textContent = milliseconds(decodeTime / tokens.length);
  element('total-time').textContent = milliseconds(prepareTime + encodeTime + decodeTime);
  element('timing').hidden = false;
}

// === Words, and where each of them looked ===

const WORD_PACE = 70; // milliseconds from one word's appearance to the next one's, at least
let nextWordAt = 0;
let chosen = -1; // the word that was clicked: shown while no other is pointed at
let following: number[] = []; // timers that show each new word's attention as it appears

function clearCaption() {
  following.forEach(clearTimeout);
  shown = undefined;
  chosen = -1;
  captionLine.replaceChildren();
  strip.replaceChildren();
  trustLine.textContent = '';
  element('spoken').textContent = '';
  showAttention(-1);
}

/** Adds the words that are not on the page yet. */
function showWords(caption: Caption) {
  shown = caption;
  for (let n = strip.childElementCount; n < caption.words.length; n++) {
    const now = performance.now();
    nextWordAt = Math.max(now, nextWordAt + WORD_PACE);
    const delay = `${Math.round(nextWordAt - now)}ms`;
    const joined = /^('|n't)/.test(caption.words[n]); // "'s" belongs to the word before it
    captionLine.append(joined || n === 0 ? '' : ' ', wordButton(caption, n, delay));
    strip.append(stripPicture(caption, n, delay));
    if (!stillness.matches) following.push(window.setTimeout(showAttention, nextWordAt - now, n));
  }
}

function wordButton(caption: Caption, n: number, delay: string): HTMLButtonElement {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'word';
  button.textContent = caption.words[n];
  button.setAttribute('aria-label', `${caption.words[n]}: ${placeOf(caption, n)}`);
  button.setAttribute('aria-pressed', 'false');
  button.style.setProperty('--delay', delay);
  pointable(button, n);
  button.addEventListener('focus', () => point(n));
  button.addEventListener('blur', () => point(chosen));
  button.addEventListener('keydown', ({ key }) => {
    const words = [...captionLine.querySelectorAll('button')];
    if (key === 'ArrowRight') words[n + 1]?.focus();
    if (key === 'ArrowLeft') words[n - 1]?.focus();
  });
  return button;
}

/** The photo, small, with one word's heat map; for eyes and pointers only, the words say the same. */
function stripPicture(caption: Caption, n: number, delay: string): HTMLLIElement {
  const picture = document.createElement('canvas');
  picture.width = 272;
  picture.height = Math.min(Math.max(Math.round((272 * photo!.height) / photo!.width), 90), 680);
  const context = picture.getContext('2d')!;
  const heat = document.createElement('canvas');
  paintHeat(heat, heatField(caption.attention[n], captioner!.model.settings.regions, 32));
  context.drawImage(photoCanvas, 0, 0, picture.width, picture.height);
  context.drawImage(heat, 0, 0, picture.width, picture.height);
  const word = document.createElement('span');
  word.textContent = caption.words[n];
  const item = document.createElement('li');
  item.style.setProperty('--delay', delay);
  item.append(picture, word);
  pointable(item, n);
  return item;
}

function pointable(target: HTMLElement, n: number) {
  target.addEventListener('pointerenter', () => point(n));
  target.addEventListener('pointerleave', () => point(chosen));
  target.addEventListener('click', () => point((chosen = chosen === n ? -1 : n)));
}

/** The user points at a word, or at none (-1). */
function point(n: number) {
  following.forEach(clearTimeout);
  showAttention(n);
}

function placeOf({ attention }: Caption, n: number): string {
  return lookInWords(attention[n], captioner!.model.settings.regions);
}

let field = new Float32Array(HEAT_SIZE ** 2);
let frameRequest = 0;

/** Shows where a word looked; the light moves there from where it was. */
function showAttention(n: number) {
  const words = captionLine.querySelectorAll('button');
  words.forEach((word, i) => word.setAttribute('aria-pressed', String(i === n)));
  [...strip.children].forEach((picture, i) => picture.classList.toggle('chosen', i === n));
  const wasShown = heatCanvas.classList.toggle('shown', n >= 0);
  element('place').textContent = n < 0 ? '' : `“${shown!.words[n]}” ${placeOf(shown!, n)}`;
  if (n < 0) return;
  const from = wasShown ? field : undefined;
  const to = heatField(shown!.attention[n], captioner!.model.settings.regions);
  const started = performance.now();
  cancelAnimationFrame(frameRequest);
  const draw = (now: number) => {
    const done = stillness.matches || !from ? 1 : Math.min(Math.max((now - started) / 200, 0), 1);
    field = to.map((heat, i) => (from ? from[i] + (heat - from[i]) * done * (2 - done) : heat));
    paintHeat(heatCanvas, field);
    if (done < 1) frameRequest = requestAnimationFrame(draw);
  };
  draw(started);
}

// === Camera ===

const camera = new Camera(viewfinder);

function showCamera(open: boolean) {
  viewfinder.hidden = element('take-photo').hidden = element('close-camera').hidden = !open;
  element('choose-photo').hidden = element('open-camera').hidden = open;
  heatCanvas.hidden = open;
}

function closeCamera() {
  camera.close();
  showCamera(false);
}

element('open-camera').addEventListener('click', () =>
  attempt(async () => {
    await camera.open();
    showCamera(true);
    element('take-photo').focus();
  }),
);
element('take-photo').addEventListener('click', () => attempt(async () => usePhoto(await camera.take())));
element('close-camera').addEventListener('click', closeCamera);

// === Files, chosen, dropped or pasted ===

for (const what of ['photo', 'model']) {
  const input = element<HTMLInputElement>(`${what}-file`);
  element(`choose-${what}`).addEventListener('click', () => input.click());
  input.addEventListener('change', () => {
    const file = input.files?.[0];
    attempt(async () => (what === 'model' && file ? useModel(() => readModel(file)) : useFile(file)));
    input.value = ''; // the same file may be chosen again
  });
}
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  frame.classList.add('over');
});
document.addEventListener('dragleave', () => frame.classList.remove('over'));
document.addEventListener('drop', (event) => {
  event.preventDefault();
  frame.classList.remove('over');
  attempt(() => useFile(event.dataTransfer?.files[0]));
});
document.addEventListener('paste', (event) => attempt(() => useFile(event.clipboardData?.files[0])));

// === Beam width ===

/** Sets the slider to a file's own beam width. */
function setBeamWidth(width: number) {
  beamWidth.max = String(Math.max(mostBeams, width));
  beamWidth.valueAsNumber = width;
  showBeamWidth();
}

function showBeamWidth() {
  element('beam-output').textContent = beamWidth.value;
}

beamWidth.addEventListener('input', showBeamWidth);
beamWidth.addEventListener('change', () => {
  if (photo && captioner) attempt(captionPhoto);
});

await attempt(() => useModel(fetchModelWithProgress));
await keepForOffline();
