import { describeBug, EXIT_FAULTLINE } from "./failure.js";
import { main } from "./program.js";
import { shellQuote } from "./values.js";

// A reader that goes away early (`| head`) is no reason for a stack trace.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

try {
  process.exitCode = await main(process.argv);
} catch (error) {
  process.stderr.write(describeBug(error, "outside of any machine", ["faultline", ...process.argv.slice(2)].map(shellQuote).join(" ")));
  process.exitCode = EXIT_FAULTLINE;
}
