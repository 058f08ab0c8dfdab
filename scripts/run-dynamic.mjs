// Compiles programs that are linked when they run, against the cross compiler's C library, and runs them with that
// library mounted: a plain one with threads, and one that loads a library by itself.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const compiler = process.env.RISCV_CC ?? "riscv64-linux-gnu-gcc";

const SOURCE = `
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

static void *body(void *argument) { return (char *)argument + 1; }

int main(int argc, char **argv)
{
	pthread_t thread;
	void *result = NULL, *library = dlopen("libm.so.6", RTLD_NOW);
	double (*root)(double) = library == NULL ? NULL : (double (*)(double))dlsym(library, "cbrt");

	pthread_create(&thread, NULL, body, argv[1]);
	pthread_join(thread, &result);
	printf("%s %.1f %d\\n", (char *)result, root == NULL ? 0 : root(atof(argv[2])), argc);
	return getauxval(AT_BASE) == 0;
}
`;

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

const folder = mkdtempSync(join(tmpdir(), "faultline-dynamic-"));
try {
  const source = join(folder, "dynamic.c");
  const program = join(folder, "dynamic");
  writeFileSync(source, SOURCE);
  const library = dirname(run(compiler, ["-print-file-name=ld-linux-riscv64-lp64d.so.1"]).stdout.trim());
  for (const flags of [["-pie", "-fPIE"], ["-no-pie", "-fno-pie"]]) {
    const built = run(compiler, ["-O2", ...flags, "-pthread", "-o", program, source, "-ldl"]);
    if (built.status !== 0) throw new Error(built.stderr);
    const { status, stdout, stderr } = run(process.execPath, [join(root, "packages/cli/bin/faultline.js"), "run", "--mount", `${library}:/lib`, program, "xdynamic", "27"]);
    if (status === 0 && stdout === "dynamic 3.0 3\n") continue;
    process.stderr.write(`${flags.join(" ")}: status ${status}, ${stdout}${stderr}`);
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
