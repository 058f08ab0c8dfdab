/** How far migration goes to have its way. */
export enum MigrateMode {
  /** Waits for nobody. */
  ASYNC,
  /** Waits for folio locks and for writeback. */
  SYNC,
}
