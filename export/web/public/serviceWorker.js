// Makes the page work without network. The page says what it has loaded (src/offline.ts), which is kept
// here; models are kept by the page itself (src/modelFile.ts).
const CACHE = 'page';
const VERSIONED = /\/(assets|litert-[^/]+)\//; // what has its version in its address never changes

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('message', (event) => event.waitUntil(keep(event.data)));
self.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  if (method === 'GET' && new URL(url).origin === location.origin) event.respondWith(answer(event.request));
});

/** Keeps these addresses and no others: a new version of the page takes the old one's place. */
async function keep(urls) {
  const cache = await caches.open(CACHE);
  const kept = (await cache.keys()).map((request) => request.url);
  await cache.addAll(urls.filter((url) => !(VERSIONED.test(url) && kept.includes(url))));
  await Promise.all(kept.filter((url) => !urls.includes(url)).map((url) => cache.delete(url)));
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  // Hosts that allow CORS say that answers vary by the asking origin; these are asked for by one only.
  const kept = () => cache.match(request, { ignoreVary: true, ignoreSearch: request.mode === 'navigate' });
  if (VERSIONED.test(request.url)) return (await kept()) ?? fetch(request);
  try {
    return await fetch(request);
  } catch {
    return (await kept()) ?? Response.error();
  }
}
