import { createReadStream, existsSync, statSync } from 'node:fs';
import { join, normalize } from 'node:path';

import { preview } from 'vite';

/**
 * Serves the built page on a free port of this machine, and beside it a folder of models as `models/`.
 *
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function serve(models, port = 0) {
  const serveModels = {
    name: 'serve-models',
    configurePreviewServer({ middlewares }) {
      middlewares.use('/models', (request, response, next) => {
        const file = join(models, normalize(request.url.split('?')[0]));
        if (!existsSync(file)) return next();
        response.setHeader('Content-Length', statSync(file).size);
        createReadStream(file).pipe(response);
      });
    },
  };
  const server = await preview({ plugins: [serveModels], preview: { port }, logLevel: 'warn' });
  const { port: taken } = server.httpServer.address();
  return {
    url: `http://localhost:${taken}/`,
    close() {
      server.httpServer.closeAllConnections();
      return server.close();
    },
  };
}
