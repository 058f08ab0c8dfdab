/**
 * @linux mm/ksm.c
 * @own setAdvisor
 */
import type { Kernel } from "../kernel.js";
import { DEFAULT_PAGES_TO_SCAN, type KsmAdvisor } from "./ksm_state.js";

const NSEC_PER_MSEC = 1_000_000;
const NSEC_PER_SEC = 1_000_000_000;
/** In percent: how much the newest of averaged values counts. */
const EWMA_WEIGHT = 30;
/** In percent of a CPU: what a scan may always take. */
const MIN_CPU = 10;

/** An integer division as C does it, of which 0 counts as 1. */
function atLeastOne(value: number): number {
  return Math.max(1, Math.floor(value));
}

/** Whether somebody decides for the operator how many pages are scanned at a time. */
export function setAdvisor({ m: { ksm } }: Kernel, advisor: KsmAdvisor): void {
  if (ksm.advisor === advisor) return;
  ksm.advisor = advisor;
  if (advisor === "none") ksm.pagesToScan = DEFAULT_PAGES_TO_SCAN;
  else {
    Object.assign(ksm.scanTime, { startedAt: 0, scanTime: 0, change: 0, cpuTimeNs: 0 });
    ksm.pagesToScan = ksm.scanTime.minPagesToScan;
  }
}

export function advisorStartScan({ m }: Kernel): void {
  if (m.ksm.advisor === "scan-time") m.ksm.scanTime.startedAt = m.now();
}

export function advisorStopScan(k: Kernel): void {
  if (k.m.ksm.advisor === "scan-time") k.ksmAdvisor.scanTimeAdvisor(k);
}

/** A scan is over: how many pages the next turns look at, so that a scan takes as long as is wanted, and not more of a CPU than is wanted. */
export function scanTimeAdvisor({ m }: Kernel): void {
  const { ksm } = m;
  const advisor = ksm.scanTime;
  const seconds = atLeastOne((m.now() - advisor.startedAt) / NSEC_PER_SEC);
  const cpuMs = Math.floor((ksm.cpuTimeNs - advisor.cpuTimeNs) / NSEC_PER_MSEC);
  const cpuPercent = atLeastOne((cpuMs * 100) / (seconds * 1000));
  const factor = atLeastOne((advisor.targetScanTime * 100) / seconds);
  const change = atLeastOne((seconds * 100) / (advisor.scanTime === 0 ? seconds : advisor.scanTime));
  const smooth = Math.floor(((100 - EWMA_WEIGHT) * advisor.change + EWMA_WEIGHT * change) / 100);
  const wanted = Math.floor((Math.floor((ksm.pagesToScan * 100) / factor) * smooth) / 100);
  const perCpuPercent = atLeastOne(ksm.pagesToScan / cpuPercent);
  ksm.pagesToScan = Math.min(Math.max(Math.min(wanted, perCpuPercent * advisor.maxCpu), perCpuPercent * MIN_CPU), advisor.maxPagesToScan);
  Object.assign(advisor, { scanTime: seconds, change: smooth, cpuTimeNs: ksm.cpuTimeNs });
}
