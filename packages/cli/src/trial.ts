import { isMainThread } from "node:worker_threads";
import { EXIT_INTERRUPTED, UserError } from "./failure.js";
import { inWorker, type Errand } from "./in_worker.js";

/** A module that is to be loaded to see whether that ends. */
export interface TrialWish {
  readonly role: "driver" | "patch";
  readonly file: string;
}

/** What is wrong with it, or null. */
export interface TrialAnswer {
  readonly complaint: string | null;
}

const SAYS: Errand["says"] = {
  endless: (how) => `${how} while it is loaded: a loop in it does not end`,
  memory: "takes more memory than there is while it is loaded",
  awaits: "awaits what never comes while it is loaded",
  exits: (code) => `ends the process while it is loaded (process.exit(${code}))`,
};

/**
 * Loads a driver or a patch in a thread of its own ahead of the thread that runs it, which could not
 * stop what never ends. A thread that is watched already loads it at once.
 * @throws UserError naming the file, when it is not what it is to be, or loading it does not end
 */
export async function trial(role: TrialWish["role"], file: string): Promise<void> {
  if (!isMainThread) return;
  const answer = await inWorker<TrialAnswer>({ script: "./trial_worker.js", wish: { role, file } satisfies TrialWish, culprit: `${role} ${file}`, says: SAYS, silent: true });
  if (answer === null) process.exit(EXIT_INTERRUPTED);
  if (answer.complaint !== null) throw new UserError(answer.complaint);
}
