import { Op, SWITCH, type Dmirror, type Kernel, type MaySleep, type NotifierRange, type UserPatch } from "@faultline/kernel";

/** The driver drops its translations while its device is in the middle of using one, or of entering another. */
const patch: UserPatch = {
  name: "driver-lock",
  title: "the driver's lock in its invalidate callback",
  apply: () => ({
    testHmm: {
      *dmirrorIntervalInvalidate(k: Kernel, dmirror: Dmirror, range: NotifierRange, seq: number): MaySleep<boolean> {
        if (k.m.point(Op.NotifierSeqSet, dmirror.notifier.id)) yield SWITCH;
        dmirror.notifier.invalidateSeq = seq;
        if (k.m.point(Op.DeviceTable, dmirror.notifier.id)) yield SWITCH;
        dmirror.table.invalidate(range.startVpn, range.endVpn);
        return true;
      },
    },
  }),
};
export default patch;
