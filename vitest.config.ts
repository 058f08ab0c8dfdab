import { defaultExclude, defineConfig } from "vitest/config";

/** These weigh what is in memory: nothing else may be in it. */
const ALONE = ["test/calls_fuzz.test.ts"];

/** Where to write the results as JSON besides; .ci/run counts them. */
const report = process.env["TEST_REPORT"];

export default defineConfig({
  test: {
    ...(report === undefined ? {} : { reporters: ["default", ["json", { outputFile: report }]] }),
    // Whole programs run in some tests; nothing here asserts a time.
    testTimeout: 120_000,
    maxWorkers: "100%",
    projects: [
      {
        extends: true,
        test: {
          name: "tests",
          // What one file has loaded, and what has been compiled of it, is there for the next.
          isolate: false,
          include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
          // Those of the browser have a configuration of their own.
          exclude: [...defaultExclude, "test/browser/**", ...ALONE],
        },
      },
      { extends: true, test: { name: "alone", include: ALONE } },
    ],
  },
});
