// Loaded ahead of a command (`node --import`): writes which functions of the kernel have been called,
// in this process and its threads, to a file of its own in the folder that REACHED names. V8 itself
// knows; asked for calls only, not for how many, it takes next to no time.
import { appendFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { threadId, Worker } from "node:worker_threads";

const KERNEL = /\/packages\/kernel\/dist\/(.+)\.js$/;
const FLUSH_MS = 300;

const folder = process.env.REACHED;
if (folder !== undefined) {
  const file = join(folder, `${process.pid}-${threadId}`);
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: false, detailed: false });

  /** Each answer has what is new since the last one. */
  const flush = () => {
    session.post("Profiler.takePreciseCoverage", (error, answer) => {
      if (error !== null) throw new Error(error.message);
      const lines = [];
      for (const { url, functions } of answer.result) {
        const module = KERNEL.exec(url)?.[1];
        if (module === undefined) continue;
        for (const { functionName, ranges } of functions) {
          if (functionName !== "" && ranges[0].count > 0) lines.push(`${module}.${functionName}\n`);
        }
      }
      if (lines.length > 0) appendFileSync(file, lines.join(""));
    });
  };
  setInterval(flush, FLUSH_MS).unref();
  process.on("exit", flush);
  // A thread that sleeps here until there is work never comes to its timer.
  const { wait } = Atomics;
  Atomics.wait = (...args) => {
    flush();
    return wait(...args);
  };
  // A thread that is ended by another is not asked: it gets the time to tell.
  const { terminate } = Worker.prototype;
  Worker.prototype.terminate = async function () {
    await setTimeout(4 * FLUSH_MS);
    return terminate.call(this);
  };
}
