import type { UserPatch } from "@faultline/kernel";

/** The driver does not say that its device has written to a page, and the CPU's entry does not know. */
const patch: UserPatch = {
  name: "device-dirty",
  title: "the dirty flag for what a device has written",
  apply: () => ({ testHmm: { deviceWrote: () => undefined } }),
};
export default patch;
