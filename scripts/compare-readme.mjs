// README shows what `npm start` prints: this runs it and compares.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "packages/cli/bin/faultline.js"), "story"], {
  encoding: "utf8",
  env: { ...process.env, NO_COLOR: "1" },
});
const told = stdout.slice(0, stdout.indexOf("\nTry next:")).trim();
if (status !== 0 || told === "") {
  process.stderr.write(`the story ended with ${status}: ${stderr}\n`);
  process.exitCode = 1;
} else if (!readFileSync(join(root, "README.md"), "utf8").includes(told)) {
  process.stderr.write(`README does not show what npm start prints:\n\n${told}\n`);
  process.exitCode = 1;
}
