import { parentPort, workerData } from "node:worker_threads";
import { Shared } from "./check_shared.js";
import { runFuzz, type FuzzWish } from "./fuzz_run.js";

const { wish, shared } = workerData as { readonly wish: FuzzWish; readonly shared: Int32Array };
const stopped = (): boolean => Atomics.load(shared, Shared.Stop) !== 0;

parentPort!.postMessage(
  await runFuzz(wish, {
    begin: () => {
      Atomics.store(shared, Shared.Begun, 1);
    },
    pulse: () => {
      Atomics.add(shared, Shared.Pulse, 1);
    },
    searching: ({ executions, programs }) => {
      Atomics.store(shared, Shared.Executions, executions);
      Atomics.store(shared, Shared.Programs, programs);
    },
    shrinking: (operations) => {
      Atomics.store(shared, Shared.Operations, operations);
    },
    stopped,
  }),
);
