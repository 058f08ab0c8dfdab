import type { Dmirror, Kernel, UserPatch } from "@faultline/kernel";

/** A fault takes the first open file of the device for the one that has brought the page there. */
const patch: UserPatch = {
  name: "device-zone-data",
  title: "what the driver has noted of a page of its device's memory (zone_device_data)",
  apply: () => ({
    testHmmMemory: {
      migratedBy: (k: Kernel): Dmirror => k.m.mirrors[1] as Dmirror,
    },
  }),
};
export default patch;
