/**
 * A service worker that turns .siren pictures into PNG, for pages that show them by <img>, CSS or
 * SVG and cannot be changed. It lies in the folder that it works for, with the priors; a page
 * registers it once: navigator.serviceWorker.register('/siren-sw.js').
 */

import { open } from '../src/index.js';
import { withProfile } from './png.js';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  if (isPicture(event.request)) event.respondWith(answer(event.request));
});

/** Only what is to be shown: what a script fetches, such as <siren-img>, stays as it is. */
function isPicture({ method, destination, url }) {
  const isSiren = new URL(url).pathname.toLowerCase().endsWith('.siren');
  return method === 'GET' && destination === 'image' && isSiren;
}

/** Return a PNG; what the server says instead of a file; an error, which is a broken image. */
async function answer({ url, signal }) {
  try {
    // Of other sites <img> asks for bytes that nobody may read; these are asked for by CORS.
    const response = await fetch(url, { signal });
    if (!response.ok) return response;
    const picture = await open(response, { signal, priors: folder(), partial: true });
    try {
      return new Response(await png(picture), { headers: { 'Content-Type': 'image/png' } });
    } finally {
      picture.close();
    }
  } catch {
    return Response.error();
  }
}

function folder() {
  return new URL('.', self.location).href;
}

/** Return a picture at its own size as a PNG, in a Blob. */
async function png(picture) {
  const { width, height, channels, metadata } = picture;
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d').putImageData(await picture.render(), 0, 0);
  const plain = await canvas.convertToBlob({ type: 'image/png' });
  // A canvas makes RGB of grey, for which a profile of grey is none.
  return metadata.icc && channels >= 3 ? withProfile(plain, metadata.icc) : plain;
}
