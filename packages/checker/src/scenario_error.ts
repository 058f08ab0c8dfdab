/** A scenario that cannot be run as it is written: the message says why. */
export class ScenarioError extends Error {}
