// `node bench/viewer.mjs [WORDS...]`, and a part of `npm run bench`: the viewer in this computer's Chromium
// with recordings of real runs. With words, only recordings whose title has one of them. VIEWER_RECORDINGS
// keeps the recordings in a folder, and takes those that are there.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readTrace } from "@faultline/trace";
import Table from "cli-table3";
import { createJiti } from "jiti";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CLI = join(ROOT, "packages/cli/bin/faultline.js");
const SWAP_1G = ["--memory", "3G", "--swap", "3G", "--do", "echo 1G > /sys/fs/cgroup/memory.reclaim"];

/** What is recorded: a title, options of `faultline run`, the program and its arguments. */
const RECORDINGS = [
  ["10^4", [], "mm-random", ["1", "30"]],
  ["10^5", [], "exclusive-steps", ["4"]],
  ["10^6", [], "exclusive-steps", ["64"]],
  ["10^6, functions", ["--trace-functions"], "bench-exclusive", ["1"]],
  ["10^7, functions", ["--trace-functions"], "exclusive-steps", ["64"]],
  ["1 GiB on 7.3", SWAP_1G, "exclusive-swap", []],
  ["1 GiB on 6.14", ["--release", "6.14", ...SWAP_1G], "exclusive-swap", []],
];
const SEEKS = 30;
const SCRUB_MOVES = 240;
const KEYS = 180;
const VIEWPORT = { width: 1280, height: 720 };
/** A page is waited for so long, in milliseconds. */
const PATIENCE = 300_000;

/** @returns the rows' titles and figures, or a line that says why there are none */
export async function viewerTable(wanted = [], say = () => {}) {
  const jiti = createJiti(import.meta.url);
  const { startChromium } = await jiti.import(join(ROOT, "test/browser/chromium.ts"));
  let browser;
  try {
    browser = await startChromium();
  } catch (error) {
    return `the viewer was not measured: ${error.message.split("\n", 1)[0]}`;
  }
  const kept = process.env.VIEWER_RECORDINGS;
  const folder = kept ?? mkdtempSync(join(tmpdir(), "faultline-bench-viewer-"));
  const table = new Table({
    head: ["events", "file", "shown", "usable", "dragging: median, 99 %, work", "arrow key: median, 99 %, work", "seek: median, worst", "heap: page, worker", "RSS"],
    style: { head: [], border: [], compact: true },
    colAligns: ["left", ...Array(8).fill("right")],
  });
  try {
    for (const [title, options, program, args] of RECORDINGS) {
      if (wanted.length > 0 && !wanted.some((word) => title.includes(word))) continue;
      say(`recording ${title} …`);
      const path = record(folder, options, program, args);
      say(`viewing ${title} …`);
      const figures = await measure(browser, path);
      table.push([`${figures.events} (${title})`, `${(statSync(path).size / 1e6).toFixed(1)} MB`, ...figures.cells]);
    }
  } finally {
    await browser.close();
    if (kept === undefined) rmSync(folder, { recursive: true });
  }
  return table.toString();
}

function record(folder, options, program, args) {
  const path = join(folder, `${[program, ...args, ...options].join(" ").replaceAll(/[^\w.]+/g, "-")}.fltrace`);
  if (existsSync(path)) return path;
  const { status, stderr } = spawnSync(process.execPath, [CLI, "run", ...options, "--trace", path, join(ROOT, "programs/prebuilt", program), ...args], { encoding: "utf8" });
  if (!existsSync(path) || status === 125) throw new Error(`${program}: ${stderr}`);
  return path;
}

/** The middle of the largest VMA that the trace has: a page worth looking at. */
function pageOf(trace) {
  let best = { mm: 1, vpn: 0, pages: 0 };
  for (const index of [trace.keyframes.length >> 1, trace.keyframes.length - 1]) {
    for (const { id, vmas } of trace.keyframe(index).mms) {
      for (const { start, end } of vmas) if (end - start > best.pages) best = { mm: id, vpn: (start + end) >> 1, pages: end - start };
    }
  }
  return best;
}

async function measure(browser, path) {
  const trace = readTrace(readFileSync(path));
  const { mm, vpn } = pageOf(trace);
  const { url, child } = await serve(path);
  const context = await browser.newContext({ viewport: VIEWPORT, colorScheme: "dark" });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.addInitScript(inPage);
    await page.goto(`${url}&step=0&sel=${mm}:0x${(vpn * 4096).toString(16)}`);
    const { shown, usable } = await page.evaluate(() => globalThis.bench.opened());
    const work = await workMeter(page);
    const drag = await work(() => dragging(page));
    const keys = await work(() => holding(page));
    const seeks = [];
    // From places that differ from the last by no rule that a cache could know.
    for (let i = 1; i <= SEEKS; i++) seeks.push(await page.evaluate((part) => globalThis.bench.seek(part), (i * 0.6180339887) % 1));
    seeks.sort((a, b) => a - b);
    const memory = await memoryOf(browser, page);
    return {
      events: trace.events,
      cells: [seconds(shown), seconds(usable), frames(drag), frames(keys), `${seeks[SEEKS >> 1].toFixed(0)} ms, ${seeks.at(-1).toFixed(0)} ms`, `${mb(memory.page)}, ${mb(memory.worker)}`, mb(memory.rss)],
    };
  } finally {
    await context.close();
    child.kill();
  }
}

function serve(path) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, "view", "--no-open", path], { cwd: ROOT });
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
      if (text.endsWith("\n")) resolve({ url: text.trim(), child });
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`faultline view ended with ${code}`)));
  });
}

/** Runs in the page ahead of anything else. */
function inPage() {
  const text = (selector) => document.querySelector(selector)?.textContent ?? "";
  const stepShown = () => /^step (\d+) /.exec(text("[data-testid=step]"))?.[1];
  const here = () => stepShown() !== undefined && text("[aria-current=step] .number") === stepShown();
  const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  globalThis.bench = {
    /** Milliseconds since the address was entered until the timeline is drawn, and until the step's state is. */
    async opened() {
      let shown = 0;
      for (;;) {
        if (shown === 0 && document.querySelector("[data-testid=timeline]") !== null) {
          await nextFrame();
          shown = performance.now();
        }
        if (shown > 0 && here()) return { shown, usable: performance.now() };
        const error = text(".error span");
        if (error !== "") throw new Error(error);
        await nextFrame();
      }
    },
    times: [],
    frames: 0,
    record() {
      let last = performance.now();
      this.times = [];
      const each = (now) => {
        this.times.push(now - last);
        last = now;
        this.frames = requestAnimationFrame(each);
      };
      this.frames = requestAnimationFrame(each);
    },
    recorded() {
      cancelAnimationFrame(this.frames);
      return this.times.slice(1);
    },
    /** Milliseconds from a press on the timeline until everything shows the step there. */
    async seek(part) {
      const canvas = document.querySelector("[data-testid=timeline]");
      const box = canvas.getBoundingClientRect();
      const x = box.left + 191 + part * (box.width - 192);
      const start = performance.now();
      canvas.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, clientX: x, clientY: box.top + 40, buttons: 1 }));
      await nextFrame();
      while (!here()) await nextFrame();
      return performance.now() - start;
    },
  };
}

/** Processor time of the page's thread, in milliseconds per frame, beside what something returns: other load on this computer does not count. */
async function workMeter(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const busy = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return 1000 * metrics.find(({ name }) => name === "TaskDuration").value;
  };
  return async (doing) => {
    const before = await busy();
    const times = await doing();
    return { times, work: ((await busy()) - before) / Math.max(1, times.length) };
  };
}

/** A drag over all of the timeline, at the pace of a hand. */
async function dragging(page) {
  const box = await page.getByTestId("timeline").boundingBox();
  await page.mouse.move(box.x + 200, box.y + 40);
  await page.mouse.down();
  await page.evaluate(() => globalThis.bench.record());
  for (let i = 0; i < SCRUB_MOVES; i++) await page.mouse.move(box.x + 200 + ((box.width - 210) * i) / SCRUB_MOVES, box.y + 40);
  const times = await page.evaluate(() => globalThis.bench.recorded());
  await page.mouse.up();
  return times;
}

/** The right arrow, held: browsers repeat it some thirty times a second. */
async function holding(page) {
  await page.evaluate(() => globalThis.bench.record());
  for (let i = 0; i < KEYS; i++) await page.keyboard.down("ArrowRight");
  const times = await page.evaluate(() => globalThis.bench.recorded());
  await page.keyboard.up("ArrowRight");
  return times;
}

async function memoryOf(browser, page) {
  const session = await page.context().newCDPSession(page);
  const { usedSize, backingStorageSize = 0 } = await session.send("Runtime.getHeapUsage");
  let worker = 0;
  const [engine] = page.workers();
  if (engine !== undefined) {
    const answer = new Promise((resolve) => {
      session.on("Target.receivedMessageFromTarget", ({ message }) => {
        const { id, result } = JSON.parse(message);
        if (id === 1) resolve(result);
      });
    });
    session.on("Target.attachedToTarget", ({ sessionId }) => {
      void session.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" }) });
    });
    await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
    const usage = await answer;
    worker = usage.usedSize + (usage.backingStorageSize ?? 0);
  }
  const whole = await browser.newBrowserCDPSession();
  const { processInfo } = await whole.send("SystemInfo.getProcessInfo");
  const rss = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => rssOf(id));
  return { page: usedSize + backingStorageSize, worker, rss: Math.max(0, ...rss) };
}

function rssOf(pid) {
  try {
    return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function frames({ times, work }) {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (part) => (sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0).toFixed(1);
  return `${at(0.5)} ms, ${at(0.99)} ms, ${work.toFixed(1)} ms`;
}

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const mb = (bytes) => `${Math.round(bytes / 1e6)} MB`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const say = (text) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  };
  const table = await viewerTable(process.argv.slice(2), say);
  say("");
  process.stdout.write(`${table}\n`);
}
