import { parentPort, workerData } from "node:worker_threads";
import { runCheck } from "./check_run.js";
import { Shared, type CheckAnswer, type CheckWorkerData } from "./check_shared.js";

const { wish, shared } = workerData as CheckWorkerData;

const warnings: string[] = [];
const outcome = await runCheck(wish, {
  begin: () => {
    Atomics.store(shared, Shared.Begun, 1);
  },
  pulse: () => {
    Atomics.add(shared, Shared.Pulse, 1);
  },
  progress: (executions, bound, planned) => {
    Atomics.store(shared, Shared.Bound, bound === Infinity ? -1 : bound);
    Atomics.store(shared, Shared.Planned, planned);
    Atomics.store(shared, Shared.Executions, executions);
  },
  stopped: () => Atomics.load(shared, Shared.Stop) !== 0,
  warn: (line) => warnings.push(line),
  shared,
});
parentPort!.postMessage({ ...outcome, warnings } satisfies CheckAnswer);
