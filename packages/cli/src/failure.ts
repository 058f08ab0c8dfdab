/** The status of everything that is Faultline's own complaint and not the guest's doing. */
export const EXIT_FAULTLINE = 125;
/** Every guest is stuck for good. */
export const EXIT_STUCK = 124;
/** As a shell reports a program that SIGINT, or SIGPIPE, ended. */
export const EXIT_INTERRUPTED = 130;
export const EXIT_BROKEN_PIPE = 141;

/** Something that the user can put right: the message is one line and says what and why. */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** The first line of whatever was thrown. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0]!.trim();
}

const MAX_FRAMES = 4;

/** What to say when the engine itself has failed: a few lines, and the command that does it again. */
export function describeBug(error: unknown, where: string, replay: string): string {
  const name = error instanceof Error ? error.name : "exception";
  const frames =
    error instanceof Error
      ? (error.stack ?? "")
          .split("\n")
          .filter((line) => /^\s+at /.test(line) && !line.includes("node:internal"))
          .slice(0, MAX_FRAMES)
      : [];
  return [
    `faultline: internal error: ${name}: ${firstLine(error)}`,
    ...frames,
    `  ${where}`,
    "This is a bug in Faultline, not in the program. The command that replays it:",
    `  ${replay}`,
    "",
  ].join("\n");
}
