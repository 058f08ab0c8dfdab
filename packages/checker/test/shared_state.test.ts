import { expect, test } from "vitest";
import { SharedState } from "../src/shared_state.js";

/** A state that threads share, and what its listener hears. */
function shared<S>(state: S): { readonly s: S; readonly heard: unknown[][]; readonly sharedState: SharedState } {
  const sharedState = new SharedState();
  const heard: unknown[][] = [];
  sharedState.listener = {
    read: (property, value) => heard.push(["read", property, value]),
    wrote: (property, before, after) => heard.push(["wrote", property, before, after]),
    reached: (property) => heard.push(["reached", property]),
  };
  return { s: sharedState.wrap(state) as S, heard, sharedState };
}

test("reads and writes are heard, by property", () => {
  const state: { a: number; b?: number } = { a: 1, b: 2 };
  const { s, heard } = shared(state);
  expect(s.a).toBe(1);
  s.b = s.a + 2;
  delete s.b;
  expect(heard).toEqual([
    ["read", 0, 1],
    ["read", 0, 1],
    ["wrote", 1, 2, 3],
    ["wrote", 1, 3, undefined],
  ]);
  expect(state).toEqual({ a: 1 });
});

test("the same property has the same number, of nested data too, and by whichever proxy", () => {
  const { s, heard, sharedState } = shared({ inner: { n: 1 } });
  expect(s.inner).toBe(s.inner);
  heard.length = 0;
  s.inner.n = 5;
  expect((sharedState.wrap({ n: 1 }) as { n: number }).n).toBe(1);
  expect(s.inner.n).toBe(5);
  const [, inner, , , last] = heard;
  expect(inner).toEqual(["wrote", expect.any(Number), 1, 5]);
  // Another object, however like it.
  expect(heard[2]![1]).not.toBe(inner![1]);
  expect(last).toEqual(["read", inner![1], 5]);
});

test("an array's push is a read of its length, and writes", () => {
  const state = { list: [7] };
  const { s, heard } = shared(state);
  s.list.push(8);
  expect(state.list).toEqual([7, 8]);
  const [, length, item, after] = heard;
  expect(length).toEqual(["read", expect.any(Number), 1]);
  expect(item).toEqual(["wrote", expect.any(Number), undefined, 8]);
  expect(after?.slice(0, 2)).toEqual(["wrote", length![1]]);
  expect(item![1]).not.toBe(length![1]);
});

test("what has functions is handed out as it is, and told to have been reached", () => {
  const notifier = { invalidate: (): number => 1 };
  const seen = new Map([["a", 1]]);
  const { s, heard } = shared({ notifier, seen });
  expect(s.notifier).toBe(notifier);
  expect(s.seen).toBe(seen);
  expect(heard).toEqual([["reached", expect.any(Number)], ["reached", expect.any(Number)]]);
  expect(new SharedState().wrap(3)).toBe(3);
  // The kernel cannot know what setup has returned as a whole.
  expect(new SharedState().wrap(notifier)).not.toBe(notifier);
});
