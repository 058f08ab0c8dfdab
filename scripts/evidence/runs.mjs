// What is run to see which kernel functions it reaches. Each kind is evidence of its own strength:
// docs/fidelity.md says which.
import { readdirSync } from "node:fs";

const SMALL = ["--memory", "64M", "--swap", "64M"];

/** Programs whose output is, in packages/riscv/test, what the same source prints on a Linux: with arguments, and options of the machine. */
const PROGRAMS = {
  advice: {},
  "broken-elf": {},
  calls: { status: 3 },
  collapse: {},
  descriptors: {},
  exec: {},
  fifo: {},
  "file-locks": {},
  files: { args: ["1", "60"] },
  futex: {},
  hugetlb: { options: ["--memory", "256M", "--swap", "64M"] },
  ipc: {},
  jobs: {},
  khugepaged: {},
  ksm: { args: ["all"] },
  mlock: {},
  "mm-random": { args: ["1", "250", "quiet"] },
  mmap: {},
  mounts: {},
  mqueue: {},
  mremap: {},
  names: {},
  numa: {},
  openat2: {},
  "own-file": {},
  permissions: {},
  ptrace: {},
  remote: {},
  "remote-cgroup": {},
  secretmem: {},
  "shm-lock": {},
  "shmem-thp": {},
  signals: { status: 143 },
  sockets: {},
  splice: {},
  split: {},
  timers: {},
  uffd: {},
  "uffd-monitor": {},
  "uffd-rwp": {},
  "uffd-shmem": {},
  "uffd-thp": {},
  uprobe: {},
  users: {},
  waiting: {},
  xattr: {},
};

/** The kernel's own selftests that pass here (docs/selftests.md), but for hmm-tests: with arguments, and options. */
const SELFTESTS = {
  compaction_test: {},
  cow: {},
  droppable: {},
  folio_split_race_test: {},
  "guard-regions": {},
  gup_longterm: {},
  gup_test: { args: ["-ct"] },
  "hugetlb-madvise": {},
  "hugetlb-mmap": {},
  "hugetlb-mremap": {},
  "hugetlb-shm": {},
  hugetlb_dio: {},
  hugetlb_fault_after_madv: {},
  hugetlb_madv_vs_map: {},
  khugepaged: {},
  "khugepaged all:shmem": { program: "khugepaged", args: ["all:shmem"] },
  madv_populate: {},
  map_fixed_noreplace: {},
  map_populate: {},
  mdwe_test: {},
  "memory-failure": {},
  merge: {},
  mkdirty: {},
  mlock2: { program: "mlock2-tests" },
  mrelease_test: {},
  mremap_dontunmap: {},
  mremap_test: {},
  mseal_test: {},
  pagemap_ioctl: {},
  pfnmap: {},
  prctl_thp_disable: {},
  process_madv: {},
  "soft-dirty": {},
  split_huge_page_test: {},
  "thuge-gen": {},
  "uffd-stress anon": { program: "uffd-stress", args: ["anon", "20", "16"] },
  "uffd-stress shmem": { program: "uffd-stress", args: ["shmem", "20", "16"] },
  "uffd-unit-tests": {},
  "uffd-wp-mremap": {},
};

/** The same of older releases, as those kernels brought them: in folders named by their numbers. */
const OLDER = { 6.1: "6.1", 6.12: "6.14" };
const OLDER_SELFTESTS = ["cow", "gup_longterm", "madv_populate", "mkdirty", "mlock2-tests", "mremap_test", "soft-dirty", "uffd-unit-tests", "pagemap_ioctl"];

function program(name, { program = name, args = [], options = [], status = 0 }, folder) {
  return { name, status, args: ["run", ...options, `${folder}/${program}`, ...args], needs: `${folder}/${program}` };
}

/**
 * @param {string} root the repository
 * @param {string | undefined} selftests a folder with static riscv64 ELF files
 * @returns kinds by name, each a list of `{ name, args, status?, needs? }`: arguments of `faultline`, the exit status when all is well, the file without
 * which it is left out
 */
export function runs(root, selftests) {
  const kinds = {
    difftest: [{ name: "random operations", args: ["difftest", "--seeds", "20", "--workers", "1"] }],
    programs: Object.entries(PROGRAMS).map(([name, settings]) => program(name, { options: SMALL, ...settings }, `${root}/programs/prebuilt`)),
    reproducer: ["6.14", "7.3"].map((release) => ({
      name: `exclusive-steps on ${release}`,
      args: ["run", "--memory", "256M", "--swap", "256M", "--release", release, `${root}/programs/prebuilt/exclusive-steps`, "64"],
    })),
    scenarios: readdirSync(`${root}/scenarios`)
      .filter((file) => file.endsWith(".ts"))
      .map((file) => ({ name: file.replace(/\.ts$/, ""), args: ["check", "--workers", "1", "--preemptions", "1", "--seconds", "2", `${root}/scenarios/${file}`] })),
  };
  if (selftests !== undefined) {
    kinds.selftests = Object.entries(SELFTESTS).map(([name, settings]) => program(name, settings, selftests));
    for (const [folder, release] of Object.entries(OLDER)) {
      for (const name of OLDER_SELFTESTS) {
        kinds.selftests.push(program(`${name} of ${folder}`, { program: name, options: ["--release", release] }, `${selftests}/${folder}`));
      }
    }
    // As on Linux 7.3 all pass but hmm_device_coherent.migrate_anon_huge_err.
    kinds["hmm-tests"] = [
      program("hmm-tests", { status: 1 }, selftests),
      ...Object.entries(OLDER).map(([folder, release]) => program(`hmm-tests of ${folder}`, { program: "hmm-tests", options: ["--release", release] }, `${selftests}/${folder}`)),
    ];
  }
  return kinds;
}
