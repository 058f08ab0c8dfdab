import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

function offered(device: number): string[] {
  const run = runGuest("device-kinds", { args: [`/dev/hmm_dmirror${device}`] });
  expect(run.stderr).toBe("");
  expect(run.exitCode).toBe(0);
  return run.stdout.trimEnd().split("\n");
}

test("each kind of memory, offered to a device", () => {
  const lines = offered(0);
  expect(lines).toMatchInlineSnapshot(`
    [
      "private: [020200] read 4 [020211] write 4 [020202] to 4 [222222] back 4 exclusive 4 [000000] check -1",
      "shared: [020200] read 4 [020202] write 4 [020202] to -2 [020202] back 0 exclusive -95 [020202] check 0",
      "a file: [020000] read 3 [020202] write 3 [020202] to -2 [020202] back 0 exclusive -95 [020202] check 0",
      "behind its end: [00] read -14 [00] write -14 [00] to -2 [00] back 0 exclusive -14 [00] check 0",
      "a private mapping of it: [000200] read 3 [010201] write 3 [020202] to 3 [222222] back 3 exclusive 3 [000000] check -1",
      "that can only be read: [000000] read 3 [010101] write -1 [010101] to -2 [010101] back 0 exclusive -14 [010101] check 0",
      "a sealed file: [0000] read 2 [0101] write -1 [0101] to -2 [0101] back 0 exclusive -14 [0101] check 0",
      "huge pages: [000000] read 3 [060606] write 3 [060606] to -22 [060606] back -22 exclusive -95 [060606] check 0",
      "secret memory: [0000] read 2 [0202] write 2 [0202] to -2 [0202] back 0 exclusive -14 [0202] check 0",
      "the program: [01] read 1 [01] write -1 [01] to -2 [01] back 0 exclusive -14 [01] check 0",
      "its data: [00] read 1 [01] write 1 [02] to 1 [22] back 1 exclusive 1 [00] check -1",
      "its bss: [00] read 1 [11] write 1 [02] to 1 [22] back 1 exclusive 1 [00] check -1",
      "[vdso]: [01] read 1 [01] write -1 [01] to -22 [01] back -22 exclusive -14 [01] check 0",
      "/dev/zero: [0200] read 2 [0211] write 2 [0202] to 2 [2222] back 2 exclusive 2 [0000] check -1",
      "the device's own file: [01] read 1 [01] write 1 [02] to -22 [02] back -22 exclusive 1 [00] check -1",
      "PROT_WRITE: [ffff] read -14 [ffff] write -14 [ffff] to -22 [ffff] back -22 exclusive 2 [ffff] check -1",
      "PROT_EXEC: [ffff] read -14 [ffff] write -14 [ffff] to -22 [ffff] back -22 exclusive -14 [ffff] check 0",
      "locked: [020202] read 3 [020202] write 3 [020202] to 3 [222222] back 3 exclusive 3 [000000] check -1",
      "a guard page: [000002] read -14 [000002] write -14 [000002] to -2 [002222] back 2 exclusive -14 [000202] check 0",
      "MAP_DROPPABLE: [000000] read 3 [111111] write 3 [020202] to 3 [222222] back 3 exclusive 3 [000000] check -1",
      "MADV_FREE: [020202] read 3 [020202] write 3 [020202] to 3 [222222] back 3 exclusive 3 [000000] check -1",
      "MADV_PAGEOUT: [000002] read 3 [020202] write 3 [020202] to 3 [222222] back 3 exclusive 3 [000000] check -1",
      "nothing: [ff] read -14 [ff] write -14 [ff] to -22 [ff] back -22 exclusive -14 [ff] check 0",
      "the kernel's: [ff] read -14 [ff] write -14 [ff] to -22 [ff] back -22 exclusive -14 [ff] check 0",
    ]
  `);
  // Coherent memory shows as 4x where device-private memory shows as 2x, and that is all.
  const likePrivate = (line: string): string => line.replace(/\[[0-9a-f]+\]/g, (bytes) => bytes.replaceAll("4", "2"));
  expect(offered(2).map(likePrivate)).toEqual(lines);
});
