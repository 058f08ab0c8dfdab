import type { Reply, Request, RequestName, Requests } from "./protocol.js";

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
  progress(text: string): void;
}

/** Speaks to the worker: a question, an answer. An answer is a rejection with one line where something is wrong. */
export class Client {
  private readonly waiting = new Map<number, Waiting>();
  private next = 1;

  constructor(private readonly worker: Worker) {
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      const waiting = this.waiting.get(data.id);
      if (waiting === undefined) return;
      if ("progress" in data) {
        waiting.progress(data.progress);
        return;
      }
      this.waiting.delete(data.id);
      if ("error" in data) waiting.reject(new Error(data.error));
      else waiting.resolve(data.answer);
    });
    worker.addEventListener("error", ({ message }) => this.fail(`the worker failed: ${message ?? "it could not be loaded"}`));
    worker.addEventListener("messageerror", () => this.fail("the worker's answer could not be read"));
  }

  ask<N extends RequestName>(name: N, ask: Requests[N]["ask"], progress: (text: string) => void = () => {}): Promise<Requests[N]["answer"]> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve, reject, progress });
      const request: Request<N> = { id, name, ask };
      this.worker.postMessage(request);
    });
  }

  private fail(line: string): void {
    for (const { reject } of this.waiting.values()) reject(new Error(line));
    this.waiting.clear();
  }
}
