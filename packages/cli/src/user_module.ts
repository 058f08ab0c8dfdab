import { accessSync, constants, existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createJiti } from "jiti";
import type { CompilerHost, CompilerOptions, Node, Program, SourceFile } from "typescript";
import { firstLine, UserError } from "./failure.js";

type Compiler = typeof import("typescript");

/** What a user's module imports of Faultline's, in whatever folder it is. */
const PACKAGES = ["@faultline/kernel/driver", "@faultline/kernel", "@faultline/checker"];

/** Where this installation has a package. */
function entryOf(name: string): string {
  return fileURLToPath(import.meta.resolve(name));
}

/** Declarations that have been read: those of Faultline and of the language are the same for each module. */
const declarations = new Map<string, SourceFile>();

/** Reads declarations once, and passes over their documentation, of which they mostly consist. */
function compilerHost(ts: Compiler, options: CompilerOptions): CompilerHost {
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.jsDocParsingMode = ts.JSDocParsingMode.ParseForTypeErrors;
  host.getSourceFile = (name, ...rest) => {
    const file = declarations.get(name) ?? read(name, ...rest);
    if (file?.isDeclarationFile === true) declarations.set(name, file);
    return file;
  };
  return host;
}

export type Role = "driver" | "patch" | "scenario";

/** A module that the user wrote, in TypeScript or JavaScript. */
export class UserModule {
  readonly path: string;
  /** Paths of all modules of the user's that it consists of, once `typeErrors` has found them. */
  sources: readonly string[] = [];

  /** @throws UserError unless the file is there */
  constructor(
    /** What it is to be, for complaints as well. */
    readonly role: Role,
    /** As the user wrote it. */
    readonly file: string,
  ) {
    this.path = resolve(file);
    if (!existsSync(this.path)) throw this.complaint("no such file");
    if (!statSync(this.path).isFile()) throw this.complaint("is not a file");
    if (!/\.[cm]?[jt]sx?$/.test(this.path)) throw this.complaint("is no TypeScript or JavaScript: its name ends with neither .ts nor .js");
    try {
      accessSync(this.path, constants.R_OK);
    } catch {
      throw this.complaint("cannot be read: permission denied");
    }
  }

  complaint(problem: string): UserError {
    return new UserError(`${this.role} ${this.file}: ${problem}`);
  }

  /**
   * Its default export; undefined when it has none.
   * @throws UserError when it cannot be loaded
   */
  async load(): Promise<unknown> {
    const jiti = createJiti(import.meta.url, {
      alias: Object.fromEntries(PACKAGES.map((name) => [name, entryOf(name)])),
      fsCache: false,
      interopDefault: false,
    });
    try {
      const module: { readonly default?: unknown } = await jiti.import(this.path);
      return module.default;
    } catch (error) {
      throw this.complaint(`cannot be loaded: ${firstLine(error)}`);
    }
  }

  /**
   * Syntax and type errors, as `line:column: message`, of whatever it imports as well: the compiler
   * finds before the run what would otherwise show as a strange kernel.
   */
  typeErrors(): string[] {
    // Not by import(), which reads all of its nine megabytes once more to find out that it is no ES module.
    const ts = createRequire(import.meta.url)("typescript") as Compiler;
    const options: CompilerOptions = {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      lib: ["lib.es2023.d.ts"],
      paths: Object.fromEntries(PACKAGES.map((name) => [name, [entryOf(name).replace(/\.js$/, ".d.ts")]])),
      strict: true,
      allowImportingTsExtensions: true,
      allowJs: true,
      checkJs: false,
      noEmit: true,
      skipLibCheck: true,
      types: [],
    };
    const program = ts.createProgram([this.path], options, compilerHost(ts, options));
    this.sources = program.getSourceFiles().flatMap((file) => (file.isDeclarationFile || program.isSourceFileFromExternalLibrary(file) ? [] : [resolve(file.fileName)]));
    // What follows a syntax error is mostly nonsense.
    const [syntax] = program.getSyntacticDiagnostics();
    const errors = syntax === undefined ? ts.getPreEmitDiagnostics(program) : [syntax];
    const texts = errors.map(({ file, start, messageText }) => {
      const message = ts.flattenDiagnosticMessageText(messageText, " ").replaceAll(/\s+/g, " ");
      return file === undefined || start === undefined ? message : `${this.place(file, start)}: ${message}`;
    });
    return texts.length > 0 ? texts : this.idleCalls(ts, program);
  }

  /** Calls of generator functions that nobody takes a step of: no error to the compiler, and nothing happens. */
  private idleCalls(ts: Compiler, program: Program): string[] {
    const found: string[] = [];
    const checker = program.getTypeChecker();
    for (const file of program.getSourceFiles()) {
      if (!this.sources.includes(resolve(file.fileName))) continue;
      const visit = (node: Node): void => {
        if (ts.isExpressionStatement(node) && ts.isCallExpression(node.expression) && checker.getTypeAtLocation(node.expression).symbol?.name === "Generator") {
          found.push(`${this.place(file, node.getStart(file))}: ${node.expression.expression.getText(file)}() is a generator, and does nothing without yield* in front of it`);
        }
        ts.forEachChild(node, visit);
      };
      visit(file);
    }
    return found;
  }

  private place(file: SourceFile, start: number): string {
    const { line, character } = file.getLineAndCharacterOfPosition(start);
    const other = resolve(file.fileName) === this.path ? "" : `${file.fileName}:`;
    return `${other}${line + 1}:${character + 1}`;
  }
}
