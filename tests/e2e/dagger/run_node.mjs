// SPDX-License-Identifier: Apache-2.0
// The same as run_python.py for the TypeScript SDK; the snippets arrive as JavaScript (translate.py).
// The SDK is taken from the folder named by the first argument.

import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const found = createRequire(path.join(process.argv[2], "package.json")).resolve("@dagger.io/dagger");
const dagger = await import(pathToFileURL(found));
const { dag, connection } = dagger;

const helpers = {
  box: () => dag.container().from("busybox"),
  dag,
  dagger,
  gather: (...calls) => Promise.all(calls),
  sha256: (text) => createHash("sha256").update(text).digest("hex"),
  seconds: (n) => new Promise((done) => setTimeout(done, n * 1000)),
  len: (sequence) => sequence.length,
  range: (n) => Array.from({ length: n }, (_, i) => i),
  str: String,
  in_order: async (sequence, one) => {
    const out = [];
    for (const element of sequence) out.push(await one(element));
    return out;
  },
};

const AsyncFunction = (async () => {}).constructor;

function errorOf(e) {
  if (!(e instanceof Error)) return { type: typeof e, message: String(e) };
  const known = { type: e.name, message: e.message, extensions: e.extensions ?? {} };
  if (e instanceof dagger.ExecError)
    Object.assign(known, { command: e.cmd, exit_code: e.exitCode, stdout: e.stdout, stderr: e.stderr });
  return known;
}

async function answer({ code, vars }) {
  const space = { ...helpers, ...vars };
  try {
    const value = await new AsyncFunction(...Object.keys(space), code)(...Object.values(space));
    return { value: value ?? null };
  } catch (e) {
    return { error: errorOf(e) };
  }
}

await connection(async () => {
  for await (const line of readline.createInterface({ input: process.stdin }))
    process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
});
