// build.mjs: bundles the page into observe/ui/dist, from where the daemon embeds it.
// build.mjs --test: bundles the tests into .cache/test, for node's own test runner.
import { build } from "esbuild";
import { cpSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";

const common = { bundle: true, target: "es2022", jsx: "automatic", jsxImportSource: "preact", logLevel: "warning" };

if (process.argv.includes("--test")) {
  rmSync(".cache/test", { recursive: true, force: true });
  const tests = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    entryPoints: tests.map((name) => `test/${name}`),
    outdir: ".cache/test",
    platform: "node",
    format: "esm",
    outExtension: { ".js": ".mjs" },
  });
} else {
  const dist = "../observe/ui/dist";
  mkdirSync(dist, { recursive: true });
  await build({
    ...common,
    entryPoints: { app: "src/main.tsx" },
    outdir: dist,
    minify: true,
    format: "esm",
    legalComments: "eof",
  });
  cpSync("public", dist, { recursive: true });
  for (const name of readdirSync(dist)) console.log(`${String(statSync(`${dist}/${name}`).size).padStart(8)} ${name}`);
}
