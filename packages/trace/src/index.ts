export { ARGS_MAX, decodeBlock, DamageError, EventEncoder, type EventBlock } from "./codec.js";
export { HashingSink, sha256Digest, type Digest } from "./hash.js";
export { NameKind, Names } from "./names.js";
export { EVENTS, type ArgKind, type EventInfo } from "./schema.js";
export { Tracer, type TraceConsumer } from "./tracer.js";
