// Makes a clone ready to use: installs what the lock file names and builds, if need be. Quiet,
// but for one line on a terminal while something takes its time.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const NODE_WANTED = [20, 20];

function say(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function run(what, command, args) {
  say(`${what} …`);
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  say("");
  if (status === 0) return;
  if (signal !== "SIGINT") process.stderr.write(`${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}\nfaultline: ${what} failed\n`);
  process.exit(signal === "SIGINT" ? 130 : 1);
}

/** Installs when there is nothing installed, or something else than the lock file says. */
function install() {
  const hash = createHash("sha256").update(readFileSync(join(root, "package-lock.json"))).digest("hex");
  const stamp = join(root, "node_modules", ".faultline-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;
  const npm = process.env.npm_execpath;
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const cache = usableCache() ? null : mkdtempSync(join(tmpdir(), "faultline-npm-"));
  if (cache !== null) args.push("--cache", cache);
  if (npm !== undefined) run("installing", process.execPath, [npm, ...args]);
  else run("installing", "npm", args);
  if (cache !== null) rmSync(cache, { recursive: true, force: true });
  writeFileSync(stamp, hash);
}

/** Whether npm's cache can be written: it is in the home directory, which some machines keep read-only. */
function usableCache() {
  const cache = process.env.npm_config_cache;
  if (cache === undefined) return true;
  try {
    mkdirSync(cache, { recursive: true });
    accessSync(cache, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export function ready() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < NODE_WANTED[0] || (major === NODE_WANTED[0] && minor < NODE_WANTED[1])) {
    process.stderr.write(`faultline: needs Node ${NODE_WANTED.join(".")} or newer, and this is ${process.versions.node}\n`);
    process.exit(1);
  }
  install();
  run("building", process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) ready();
