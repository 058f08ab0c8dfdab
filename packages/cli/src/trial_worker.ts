import { parentPort, workerData } from "node:worker_threads";
import { Shared } from "./check_shared.js";
import { driverOf } from "./driver_file.js";
import { UserError } from "./failure.js";
import { patchOf } from "./patch_file.js";
import type { TrialAnswer, TrialWish } from "./trial.js";
import { UserModule } from "./user_module.js";

const { wish, shared } = workerData as { readonly wish: TrialWish; readonly shared: Int32Array };

async function complaint(): Promise<string | null> {
  try {
    const module = new UserModule(wish.role, wish.file);
    Atomics.store(shared, Shared.Begun, 1);
    await (wish.role === "driver" ? driverOf(module) : patchOf(module));
    return null;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

parentPort!.postMessage({ complaint: await complaint() } satisfies TrialAnswer);
