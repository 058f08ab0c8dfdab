import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    // Whole programs run in some tests; nothing here asserts a time.
    testTimeout: 120_000,
  },
});
