import { defaultExclude, defineConfig } from "vitest/config";

/** Where to write the results as JSON besides; .ci/run counts them. */
const report = process.env["TEST_REPORT"];

export default defineConfig({
  test: {
    ...(report === undefined ? {} : { reporters: ["default", ["json", { outputFile: report }]] }),
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    // These have a configuration of their own.
    exclude: [...defaultExclude, "test/browser/**"],
    // Whole programs run in some tests; nothing here asserts a time.
    testTimeout: 120_000,
    maxWorkers: "100%",
  },
});
