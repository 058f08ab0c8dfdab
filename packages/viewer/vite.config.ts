import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { functionDocsPlugin } from "./function_docs.js";

/** A static site that works below any path: `vite build` writes it to dist/. */
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  plugins: [functionDocsPlugin()],
  build: { target: "es2022", emptyOutDir: true, assetsInlineLimit: 0, chunkSizeWarningLimit: 4096, modulePreload: { polyfill: false } },
  worker: { format: "es" },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
});
