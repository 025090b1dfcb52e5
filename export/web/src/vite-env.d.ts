/** The folder with LiteRT.js's WebAssembly, relative to the page; set in vite.config.ts. */
declare const __LITERT_FOLDER__: string;
