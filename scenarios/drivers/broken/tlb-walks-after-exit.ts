import { svaDriver, svaInvalidate } from "../sva.js";

/** Has no release(): its device goes on walking a page table that is torn down. */
export default svaDriver({ archInvalidateSecondaryTlbs: svaInvalidate });
