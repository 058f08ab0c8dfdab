import { PERF_TYPE_UPROBE } from "../kernel/perf_event.js";
import type { Machine } from "../machine.js";
import { cpuList } from "./proc/array.js";
import { PseudoFs, type PseudoDir } from "./pseudo.js";
import { DamonSysfs } from "./sysfs_damon.js";
import { addText } from "./sysfs_file.js";
import { addHugepages } from "./sysfs_hugetlb.js";
import { KsmSysfs } from "./sysfs_ksm.js";
import { addMemoryBlocks } from "./sysfs_memory.js";
import { addMmSettings, addNodes } from "./sysfs_node.js";
import { addPageIdle } from "./sysfs_page_idle.js";
import { ThpSysfs } from "./sysfs_thp.js";

const SYSFS_MAGIC = 0x62656572;

/**
 * /sys, as far as there is something behind it: transparent huge pages, the CPUs, memory blocks, and
 * the nodes. `cgroup` and `debug` are where those file systems are mounted.
 */
export class Sysfs extends PseudoFs {
  readonly cgroup: PseudoDir;
  readonly debug: PseudoDir;

  constructor(m: Machine, dev: number) {
    super("sysfs", "sysfs", "rw,nosuid,nodev,noexec,relatime", dev, SYSFS_MAGIC, { kernfs: true });
    this.cgroup = this.root.dir("fs").dir("cgroup");
    this.debug = this.root.dir("kernel").dir("debug", 0o700);
    new ThpSysfs(this, this.root.dir("kernel").dir("mm").dir("transparent_hugepage"));
    new KsmSysfs(this, this.root.dir("kernel").dir("mm").dir("ksm"));
    addHugepages(this, m, this.root.dir("kernel").dir("mm").dir("hugepages"), null);
    const system = this.root.dir("devices").dir("system");
    for (let node = 0; node < m.nodes.count; node++) addHugepages(this, m, system.dir("node").dir(`node${node}`).dir("hugepages"), node);
    addMemoryBlocks(this, m, system.dir("memory"));
    for (const name of ["online", "possible", "present"]) {
      addText(this, system.dir("cpu"), name, (k) => `${cpuList(k.m.config.cpus)}\n`);
    }
    const uprobe = this.root.dir("bus").dir("event_source").dir("devices").dir("uprobe");
    addText(this, uprobe, "type", () => `${PERF_TYPE_UPROBE}\n`);
    addText(this, uprobe.dir("format"), "retprobe", () => "config:0\n");
    addNodes(this, m, system.dir("node"));
    addPageIdle(this, this.root.dir("kernel").dir("mm"));
    new DamonSysfs(this, this.root.dir("kernel").dir("mm"));
    addMmSettings(this, m, this.root.dir("kernel").dir("mm"));
  }
}
