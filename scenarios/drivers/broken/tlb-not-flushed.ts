import { type Atomic } from "@faultline/kernel/driver";
import { svaDriver, svaRelease } from "../sva.js";

/** Thinks that its hardware sees by itself when an entry changes. */
export default svaDriver({
  *archInvalidateSecondaryTlbs(): Atomic<void> {
    yield* [];
  },
  release: svaRelease,
});
