/**
 * Lets the service worker keep what this page has loaded, with which it then works offline. To be
 * called once all of it has been used.
 */
export async function keepForOffline(): Promise<void> {
  if (!('serviceWorker' in navigator) || !import.meta.env.PROD) return; // no https, or under development
  await navigator.serviceWorker.register('serviceWorker.js');
  const { active } = await navigator.serviceWorker.ready;
  const linked = [...document.querySelectorAll<HTMLLinkElement>('link[href]')].map(({ href }) => href);
  const loaded = performance.getEntriesByType('resource').map(({ name }) => name);
  const page = new URL('.', document.baseURI).href;
  const own = [...linked, ...loaded].filter((url) => url.startsWith(page) && !url.endsWith('.tflite'));
  active!.postMessage([...new Set([page, ...own])]);
}
