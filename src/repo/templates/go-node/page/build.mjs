import { cpSync, mkdirSync } from "node:fs";
import { build } from "esbuild";

mkdirSync("dist", { recursive: true });
await build({
  entryPoints: ["main.js"],
  outfile: "dist/app.js",
  bundle: true,
  minify: true,
  format: "esm",
  define: { VERSION: JSON.stringify(process.env.VERSION ?? "unknown") },
});
cpSync("index.html", "dist/index.html");
