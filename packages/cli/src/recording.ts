import type { EventSink, LockObserver, Machine } from "@faultline/kernel";
import { AS_THE_RUN_GROWS, FORMAT, KeyframingWriter, Tracer, type KeyframeSpacing, type TraceConsumer, type TraceEnd, type TraceFinding, type TraceHead, type TraceWriter } from "@faultline/trace";
import { UserError } from "./failure.js";
import { compactFile, exporterFor, formatOf, OutputFile, type Exporter } from "./trace_file.js";

/** What is known of a run ahead of it. */
export type RunDescription = Omit<TraceHead, "format" | "functions">;

/** A run that is being recorded into a file, in the format that the file's name asks for. */
export class Recording {
  /** Kernel functions and locks are recorded as well. */
  readonly functions: boolean;
  private readonly file: OutputFile;
  private readonly exporter: Exporter | null;
  private readonly writer: TraceWriter | null;
  private machine: Machine | null = null;
  private keyframing: KeyframingWriter | null = null;
  /** The file could not be written: the machine goes on to where it can be stopped, and nothing is recorded. */
  private failure: UserError | null = null;

  /** @throws UserError when the file cannot be written */
  constructor(path: string, functions: boolean, run: RunDescription, private readonly spacing: KeyframeSpacing = AS_THE_RUN_GROWS) {
    this.functions = functions || formatOf(path) === "perfetto";
    this.file = new OutputFile(path, run.program);
    const head: TraceHead = { format: FORMAT, ...run, functions: this.functions };
    this.exporter = exporterFor(this.file, head);
    this.writer = this.exporter === null ? compactFile(this.file, head) : null;
  }

  /** Listens to a machine from now on. */
  start(m: Machine): void {
    const { sink, locks } = this.attach(m);
    m.sink = sink;
    if (locks !== null) m.locks.observer = locks;
  }

  /** The machine as it is now is where the recording begins; who runs it tells events, and locks if wanted, from now on. */
  attach(m: Machine): { readonly sink: EventSink; readonly locks: LockObserver | null } {
    this.machine = m;
    if (this.writer !== null) this.keyframing = new KeyframingWriter(m, this.writer, this.spacing);
    const tracer = new Tracer(m, this.guarded(this.keyframing ?? this.exporter!));
    if (this.functions) m.ftrace!.emitting = true;
    return { sink: tracer, locks: this.functions ? tracer : null };
  }

  /**
   * The machine stands still for a moment.
   * @throws UserError when the file could not be written since
   */
  pause(): void {
    if (this.failure !== null) throw this.failure;
  }

  /** Events so far; only a .fltrace file counts them. */
  get events(): number {
    return this.writer?.events ?? 0;
  }

  /**
   * The run is over: the file is complete. `finding`: the rule that it broke, which a .fltrace file says.
   * @throws UserError when it could not be written
   */
  end(how: TraceEnd["end"], finding?: TraceFinding): void {
    if (this.failure !== null) throw this.failure;
    this.keyframing?.end();
    this.writer?.end(how, this.machine!.now(), finding);
    this.exporter?.finish();
    this.file.close();
    if (process.stderr.isTTY) process.stderr.write(`faultline: ${this.file.path}: ${(this.file.bytes / 2 ** 20).toFixed(1)} MiB\n`);
  }

  /** After a failure of the engine: what there is stays readable. */
  abandon(): void {
    try {
      this.end("failed");
    } catch {
      // The engine's failure is what is reported.
    }
  }

  /** The engine must not see an exception of the file's: it would be taken for one of its own. */
  private guarded(consumer: TraceConsumer): TraceConsumer {
    return {
      name: (kind, id, text) => {
        if (this.failure !== null) return;
        try {
          consumer.name(kind, id, text);
        } catch (error) {
          this.fail(error);
        }
      },
      event: (time, executor, task, event, a, b, c, d, e, f, g) => {
        if (this.failure !== null) return;
        try {
          consumer.event(time, executor, task, event, a, b, c, d, e, f, g);
        } catch (error) {
          this.fail(error);
        }
      },
    };
  }

  private fail(error: unknown): void {
    if (!(error instanceof UserError)) throw error;
    this.failure = error;
  }
}
