// `npm start`: installs and builds if need be, then shows what Faultline is for.
import { ready } from "./ready.mjs";

ready();
process.argv.splice(2, Infinity, "story");
await import("../packages/cli/dist/main.js");
