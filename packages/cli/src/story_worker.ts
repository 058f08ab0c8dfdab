import { parentPort, workerData } from "node:worker_threads";
import { runStory, type StoryResult, type StoryWish } from "./story_run.js";

/** What a worker tells the thread that draws. */
export type StoryMessage = { readonly done: number } | { readonly result: StoryResult };

const post = (message: StoryMessage): void => {
  parentPort?.postMessage(message);
};

post({ result: runStory(workerData as StoryWish, (done) => post({ done })) });
