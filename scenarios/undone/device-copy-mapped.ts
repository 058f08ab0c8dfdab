import type { MaySleep, UserPatch } from "@faultline/kernel";

/** The driver copies what the device can still write. */
const patch: UserPatch = {
  name: "device-copy-mapped",
  title: "a driver that lets go of a page of its memory before it copies it",
  apply: () => ({
    testHmmMemory: {
      *dropTranslations(): MaySleep<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
