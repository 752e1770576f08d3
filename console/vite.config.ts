import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// `make console-dev`: Vite in front of a server on HEADRACE_URL. The page's origin becomes the server's, or its fence would refuse it.
const server = process.env.HEADRACE_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/console/",
  plugins: [svelte({ compilerOptions: { css: "external" } })],
  build: {
    outDir: "dist",
    assetsInlineLimit: 0, // the policy has no data: for scripts and styles
    modulePreload: { polyfill: false }, // would be an inline script
    target: "es2022",
    license: { fileName: "assets/licenses.txt" },
  },
  server: { proxy: { "/console/api": { target: server, headers: { Origin: server } } } },
});
