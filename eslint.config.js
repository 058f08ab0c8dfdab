import { builtinModules } from "node:module";
import tseslint from "typescript-eslint";
import droppedGenerator from "./scripts/eslint/dropped-generator.mjs";

export default tseslint.config(
  { ignores: ["**/dist/**", "**/node_modules/**", "programs/**", "coverage/**"] },
  tseslint.configs.recommended,
  {
    files: ["**/*.ts", "**/*.tsx"],
    languageOptions: {
      parserOptions: {
        project: ["packages/*/tsconfig.json", "tsconfig.tests.json"],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    plugins: { faultline: { rules: { "dropped-generator": droppedGenerator } } },
    rules: {
      "faultline/dropped-generator": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/ban-ts-comment": ["error", { "ts-ignore": true, "ts-expect-error": true, "ts-nocheck": true }],
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/no-implied-eval": "error",
      "@typescript-eslint/no-unnecessary-type-assertion": "error",
      // Generators within objects have a `this` of their own.
      "@typescript-eslint/no-this-alias": "off",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      // State never lives in a module: what is declared there is constant.
      "no-restricted-syntax": ["error", { selector: ":matches(Program, ExportNamedDeclaration) > VariableDeclaration[kind!='const']", message: "No state at module level." }],
    },
  },
  {
    // The engine runs in browsers: nothing of Node's. Nor of a browser's, or of the computer's it
    // runs on: the same program and seed leave the same trace everywhere.
    files: ["packages/{kernel,riscv,checker,trace}/src/**/*.ts"],
    rules: {
      "no-restricted-imports": ["error", { patterns: ["node:*"], paths: builtinModules }],
      "no-restricted-globals": [
        "error",
        ...["process", "Buffer", "require", "__dirname", "__filename", "global", "setImmediate"].map((name) => ({ name, message: "The engine runs in browsers as well." })),
        ...["window", "document", "navigator", "self", "localStorage", "fetch"].map((name) => ({ name, message: "The engine runs on Node as well." })),
        ...["Date", "performance", "setTimeout", "setInterval", "queueMicrotask"].map((name) => ({ name, message: "Time is the machine's." })),
        { name: "crypto", message: "Every choice comes from machine.choices." },
        { name: "Intl", message: "What is printed does not depend on a locale." },
      ],
      "no-restricted-properties": [
        "error",
        { object: "Math", property: "random", message: "Every choice comes from machine.choices." },
        ...["Date", "performance", "crypto", "process", "Intl"].map((property) => ({ object: "globalThis", property, message: "Not even this way." })),
        ...["toLocaleString", "toLocaleUpperCase", "toLocaleLowerCase", "localeCompare"].map((property) => ({ property, message: "What is printed does not depend on a locale." })),
      ],
    },
  },
  {
    // Views know the app by its public interface, and nothing of each other, the worker or the engine.
    files: ["packages/viewer/src/views/**"],
    rules: {
      "no-restricted-imports": ["error", { patterns: [{ regex: "^(?!preact(/hooks)?$|\\.\\./core/index\\.js$)", message: "Views import preact and ../core/index.js only." }] }],
    },
  },
  {
    files: ["**/*.mjs", "**/*.js"],
    languageOptions: { globals: { process: "readonly", console: "readonly", URL: "readonly", performance: "readonly" } },
  },
);
