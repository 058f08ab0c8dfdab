import { PATCHES } from "@faultline/kernel";
import { KERNEL, type Calls } from "./calls.js";
import { raceDiagram } from "./diagram.js";
import type { Statement } from "./emit_c_calls.js";
import { PARTS, type Part } from "./emit_c_parts.js";
import { constantOf, planRace, type Plan, type PlannedCall, type PlannedThread } from "./emit_c_plan.js";
import { OPTIONS, SYMPTOMS } from "./emit_c_symptoms.js";
import { allowedBy, type Allowed, type FinalWord } from "./emit_c_words.js";
import type { Scenario } from "./scenario.js";
import { formatSchedule } from "./schedule.js";
import { RULES, type Violation } from "./violation.js";

/** The kernel that broke the rule, and the command that shows it. */
export interface Found {
  readonly release: string;
  readonly without: readonly string[];
  /** Files of the user's own patches and drivers. */
  readonly patches: readonly string[];
  readonly command: string;
}

export interface EmittedProgram {
  readonly text: string;
  /** What the scenario does and the program does not, a line each. */
  readonly omitted: readonly string[];
}

/** Columns that comments have. */
const WIDTH = 100;

/**
 * A C program for a real kernel that makes the calls of a scenario in the order in which they
 * broke a rule, again and again. `whole`: what the threads call where nothing goes wrong.
 */
export function emitC(scenario: Scenario, violation: Violation, whole: Calls, found: Found): EmittedProgram {
  const plan = planRace(scenario, violation, whole);
  const allowed = allowedBy(plan);
  const sections = [head(scenario, plan, violation, found), layout(plan, allowed), machinery(plan), ...partsOf(plan, allowed).map((part) => PARTS[part].text), actors(plan, allowed), outcome(plan, allowed.final), main(plan, allowed)];
  return { text: sections.map((section) => section.trim()).join("\n\n") + "\n", omitted: omissions(plan) };
}

function statementsOf({ setup, threads, check }: Plan): Statement[] {
  return [...setup, ...threads.flatMap(({ calls }) => calls.map(({ statement }) => statement)), ...check];
}

function partsOf(plan: Plan, { final, loads }: Allowed): Part[] {
  const needed = new Set(statementsOf(plan).flatMap(({ parts }) => parts));
  if (final.length > 0) needed.add("load");
  if (final.length > 0 || loads.size > 0) needed.add("one_of");
  return (Object.keys(PARTS) as Part[]).filter((part) => needed.has(part));
}

function omissions({ setup, threads }: Plan): string[] {
  const of = (who: string, statements: readonly Statement[]): string[] =>
    statements.flatMap((s) => (s.code !== null ? [] : [`${who}: ${omission(s)}`]));
  return [...of("setup", setup), ...threads.flatMap(({ name, calls }) => of(`thread '${name}'`, calls.map(({ statement }) => statement)))];
}

function omission({ call, source }: Statement): string {
  return call.name === KERNEL ? "what is done here through the kernel itself (t.k) has no system call, and is left out" : `${source} has no counterpart in a program, and is left out`;
}

/* Text */

/** Words in lines of `WIDTH` columns at most. */
function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

/** What a comment of C takes. */
function harmless(text: string): string {
  return text.replaceAll("*/", "* /").replaceAll("/*", "/ *").replaceAll(/\\$/gm, "\\ ");
}

function comment(text: string, indent = ""): string {
  const lines = wrap(harmless(text), WIDTH - 8 * indent.length - 6);
  if (lines.length === 1) return `${indent}/* ${lines[0]} */`;
  return [`${indent}/*`, ...lines.map((line) => `${indent} * ${line}`), `${indent} */`].join("\n");
}

/** A literal of C. */
function quoted(text: string): string {
  const escape = (c: string): string => (c === '"' || c === "\\" || c === "?" ? `\\${c}` : c < " " ? " " : c);
  return `"${[...text].map(escape).join("")}"`;
}

/* The comment at the top */

function head(scenario: Scenario, plan: Plan, violation: Violation, found: Found): string {
  const { kind, message, decisions, preemptions } = violation;
  const symptoms = SYMPTOMS[kind];
  const field = (name: string, text: string): string[] => wrap(text, WIDTH - 13).map((line, i) => `${(i === 0 ? name : "").padEnd(10)}${line}`);
  const undone = found.without.map((name) => {
    const patch = PATCHES.find((p) => p.name === name);
    return `without ${name}${patch === undefined ? "" : ` ("${patch.title}")`}`;
  });
  const kernel = [found.release, ...undone, ...found.patches.map((file) => `with ${file}`)].join(", ");
  const usesDevices = statementsOf(plan).some(({ parts }) => parts.includes("device"));
  const options = [...(usesDevices ? ["CONFIG_TEST_HMM=m", "CONFIG_DEVICE_PRIVATE=y"] : []), ...OPTIONS, ...symptoms.options];
  const swap = (scenario.machine?.swapSlots ?? 0) > 0 ? " It needs swap space." : "";
  const lines = [
    scenario.title,
    "",
    ...wrap("A race that a model of the kernel's memory management has lost, for a real kernel to lose as well. Found by", WIDTH - 3),
    `  ${found.command}`,
    "",
    ...field("kernel", kernel),
    ...field("rule", RULES[kind]),
    ...field("broken", `(${kind}) ${message.split("\n", 1)[0]}`),
    ...field("schedule", `${formatSchedule(decisions)}, ${preemptions} preemption${preemptions === 1 ? "" : "s"}`),
    "",
    ...raceDiagram(violation).trimEnd().split("\n"),
    "",
    ...wrap(
      `Each round maps memory anew and lets one thread for each of the scenario's make its calls. Where the schedule leaves a call, a call of another thread begins a while after it has begun (or a little before), and that while is another one in each round.${plan.delays === 0 ? " Here the schedule leaves none: the order of the calls is all." : ""}`,
      WIDTH - 3,
    ),
    "",
    "  gcc -O2 -Wall -Wextra -pthread -o race FILE.c",
    "  ./race [ROUNDS [DELAY]]     10000 rounds, and delays up to 20000 ns, unless told otherwise",
    "",
    ...wrap(`${usesDevices ? "As root, after modprobe test_hmm." : "Anybody may run it; what only root may do is done by other means where there are any."}${swap} Exit status 0: all went as it may. 1: a word, a signal, a round without an end or a new taint of the kernel says otherwise. 77: it cannot run here.`, WIDTH - 3),
    "",
    ...field("look for", `${symptoms.look} (dmesg).`),
    ...field("options", options.join(" ")),
  ];
  return ["/*", ...lines.map((line) => ` * ${harmless(line)}`.trimEnd()), " */"].join("\n");
}

/* What there is, and where */

function layout(plan: Plan, allowed: Allowed): string {
  const { places, threads } = plan;
  const statements = statementsOf(plan);
  const parts = partsOf(plan, allowed);
  const standard = ["errno.h", "fcntl.h", "pthread.h", "sched.h", "signal.h", "stdatomic.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "sys/mman.h", "time.h", "unistd.h"];
  const includes = [...new Set([...standard, ...parts.flatMap((part) => PARTS[part].includes)])].sort();
  const advice = [...new Set(statements.flatMap(({ code }) => (code === null ? [] : (/MADV_\w+/.exec(code) ?? []))))];
  const device = statements.filter(({ parts }) => parts.includes("device")).map(({ call }) => call);
  const devices = Math.max(0, ...device.map(({ args }) => args[0]!)) + 1;
  const mirrored = Math.max(0, ...device.map(({ name, args }) => (name === "deviceAtomicAdd32" ? 1 : args[2]!)));
  const size = Math.max(4096, places.size);
  return `#define _GNU_SOURCE
${includes.map((name) => `#include <${name}>`).join("\n")}

#define PAGE 4096ul
#define AREA_ALIGNMENT (2ul << 20)
#define AREA_SIZE 0x${size.toString(16)}ul
${device.length === 0 ? "" : `#define DEVICES ${devices}\n#define MIRROR_PAGES ${mirrored}\n`}
enum { PASSED = 0, FOUND = 1, WRONG_USE = 2, SKIPPED = 77 };
${OLD_HEADERS.filter(([name]) => advice.includes(name) || (name === "MADV_COLD" && parts.includes("drain")) || (name === "MADV_PAGEOUT" && parts.includes("reclaim")))
  .map(([name, value]) => `\n#ifndef ${name}\n#define ${name} ${value}\n#endif\n`)
  .join("")}
/* Where memory is mapped: as far from a boundary of 2 MiB as in the model. */
static char *area;

${places.mappings.map(({ name, offset, pages }) => `#define ${name} (area + 0x${offset.toString(16)}) /* ${pages} page${pages === 1 ? "" : "s"} */`).join("\n")}

#define MAPPINGS ${places.mappings.length}
static const struct {
	size_t at;
	size_t size;
} mappings[] = {
${places.mappings.map(({ offset, pages }) => `	{ 0x${offset.toString(16)}, ${pages} * PAGE },`).join("\n")}
};
${places.frames.length === 0 ? "" : `\n/* Frames of the model that the scenario has asked for. */\n${places.frames.map((addr) => `static unsigned long ${places.frameOf(addr)}; /* of ${places.at(addr)} */`).join("\n")}\n`}
enum {
${threads.map(({ ident }) => `	${constantOf(ident)},`).join("\n")}
	THREADS
};`;
}

/** Advice that the C library may be too old for. */
const OLD_HEADERS: readonly (readonly [string, number])[] = [
  ["MADV_COLD", 20],
  ["MADV_PAGEOUT", 21],
  ["MADV_POPULATE_READ", 22],
  ["MADV_POPULATE_WRITE", 23],
  ["MADV_DONTNEED_LOCKED", 24],
];

/* Rounds, threads and delays */

/** Odd numbers near 2^32 times the powers of 1/phi: multiples of each, modulo 2^32, fill an interval evenly. */
function pacesFor(delays: number): string[] {
  const phi = (1 + Math.sqrt(5)) / 2;
  return Array.from({ length: delays }, (_, i) => `0x${((Math.floor(2 ** 32 / phi ** (1 + i / delays)) | 1) >>> 0).toString(16)}`);
}

function machinery({ delays, threads }: Plan): string {
  const calls = threads.flatMap((thread) => thread.calls);
  const waits = calls.some(({ after }) => after !== null);
  return `static unsigned long rounds = 10000;
static volatile unsigned long current_round;
static pthread_barrier_t round_begins, round_ends;
static cpu_set_t cpus;

/* The nth of the CPUs that the program may use, from the first again where there are too few. */
static void pin(int nth)
{
	cpu_set_t one;
	int left = nth % CPU_COUNT(&cpus);

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &cpus) || left-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

/* A turn of waiting for somebody who is most likely on another CPU. */
static void relax(unsigned int turns)
{
	if (turns % 1024 == 1023)
		sched_yield();
}

/* How far each thread is in this round: 2n - 1 once its nth call has begun, 2n once it has ended. */
static atomic_uint progress[THREADS];

static void begin(int thread, unsigned int nth)
{
	atomic_store(&progress[thread], 2 * nth - 1);
}

static void end(int thread, unsigned int nth)
{
	atomic_store(&progress[thread], 2 * nth);
}
${
  !waits
    ? ""
    : `
static void wait_for(int thread, unsigned int point)
{
	for (unsigned int turns = 0; atomic_load(&progress[thread]) < point; turns++)
		relax(turns);
}

#define after_begin_of(thread, nth) wait_for(thread, 2 * (nth) - 1)
#define after_end_of(thread, nth) wait_for(thread, 2 * (nth))
`
}${
  delays === 0
    ? ""
    : `
/*
 * Delays in ns, one for each switch in the middle of a call: how much later than that call the
 * other one begins; earlier where it is negative.
 */
#define DELAYS ${delays}
static long delays[DELAYS];
static long delay_max = 20000;

/* Rounds fill the interval from -delay_max/4 to delay_max evenly, for each delay at a pace of its own. */
static void choose_delays(unsigned long round)
{
	static const uint32_t pace[DELAYS] = { ${pacesFor(delays).join(", ")} };

	for (int i = 0; i < DELAYS; i++) {
		uint32_t at = (uint32_t)(round + 1) * pace[i];

		delays[i] = (long)((uint64_t)at * (uint64_t)(delay_max + delay_max / 4) >> 32) - delay_max / 4;
	}
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void spend(long ns)
{
	int64_t until = ns > 0 ? now() + ns : 0;

	while (ns > 0 && now() < until)
		;
}

#define come_after(delay) spend(delays[delay])
#define let_pass(delay) spend(-delays[delay])
`
}
/* Threads wake up from a barrier at different times: here they spin until the last one is awake. */
static void line_up(unsigned long round)
{
	static atomic_ulong lined_up;

	atomic_fetch_add(&lined_up, 1);
	for (unsigned int turns = 0; atomic_load(&lined_up) < THREADS * (round + 1); turns++)
		relax(turns);
}

static int map_pages(char *addr, size_t pages)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;

	return mmap(addr, pages * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == addr ? 0 : -1;
}`;
}

/* Setup, the threads, the end */

function actors(plan: Plan, allowed: Allowed): string {
  const { threads, setup } = plan;
  const must = setup.some(({ code }) => code !== null && returnsError(code));
  return [
    ...(must ? [PREPARED] : []),
    `static void setup(void)\n{\n${setup.map(setupLine).join("\n")}\n}`,
    ...threads.map((thread) => actor(thread, plan, allowed)),
    `static const struct racer {
	void (*run)(void);
	int cpu;
} racers[THREADS] = {
${threads.map(({ ident, cpu }) => `	[${constantOf(ident)}] = { run_${ident}, ${cpu} },`).join("\n")}
};

static void *race(void *arg)
{
	const struct racer *racer = arg;

	pin(racer->cpu);
	for (unsigned long round = 0; round < rounds; round++) {
		pthread_barrier_wait(&round_begins);
		line_up(round);
		racer->run();
		pthread_barrier_wait(&round_ends);
	}
	return NULL;
}`,
  ].join("\n\n");
}

const PREPARED = String.raw`static unsigned long setup_failures;

/* A setup that fails now and then makes a round worthless, and no more. */
static void must(const char *what, int result)
{
	if (result < 0 && setup_failures++ == 0)
		printf("setup: %s: %s\n", what, strerror(errno));
}`;

function returnsError(code: string): boolean {
  return /^(map_pages|munmap|madvise|mprotect|device_command|hold_page)\(/.test(code);
}

function setupLine(s: Statement): string {
  const remark = s.remark === null ? "" : `${comment(s.remark, "\t")}\n`;
  if (s.code === null) return comment(`${capital(omission(s))}.`, "\t");
  return `${remark}\t${returnsError(s.code) ? `must(${quoted(s.source)}, ${s.code})` : s.code};`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function actor(thread: PlannedThread, plan: Plan, allowed: Allowed): string {
  const { name, ident, executor, late, calls } = thread;
  const where = late ? `${executor}; it had done nothing yet when the rule was broken` : executor;
  const body = calls.map((call, i) => actorCall(call, i + 1, thread, plan, allowed)).join("\n\n");
  return `${comment(`${name}, on ${where}.`)}\nstatic void run_${ident}(void)\n{\n${body}\n}`;
}

function actorCall({ statement, after, leavings, lead, breaks }: PlannedCall, nth: number, { name, ident }: PlannedThread, { threads }: Plan, { loads }: Allowed): string {
  const me = constantOf(ident);
  const lines: string[] = [];
  if (after !== null) {
    const { ended, thread, call, delay } = after;
    lines.push(`after_${ended ? "end" : "begin"}_of(${constantOf(threads[thread]!.ident)}, ${call + 1});`);
    if (delay !== null) lines.push(`come_after(${delay});`);
  }
  lines.push(`begin(${me}, ${nth});`);
  if (lead !== null) lines.push(`let_pass(${lead});`);
  const notes = leavings.map(({ at, about, to }) => `The schedule leaves this call${at === "" ? "" : ` in ${at}()`}, ahead of "${about}", for ${to}.`);
  if (breaks !== null) notes.push(`The rule is seen to be broken during this call${breaks === "" ? "" : `, in ${breaks}()`}.`);
  if (statement.remark !== null) notes.push(statement.remark);
  if (statement.code === null) notes.push(`${capital(omission(statement))}.`);
  const text = [...lines.map((line) => `\t${line}`), ...(notes.length === 0 ? [] : [comment(notes.join(" "), "\t")])];
  const values = loads.get(statement);
  if (values !== undefined) text.push(`\tone_of(${quoted(`${name}: ${statement.source}`)}, ${statement.code}, ${values.length}, (const uint32_t[]){ ${values.join(", ")} });`);
  else if (statement.code !== null) text.push(`\t${statement.code};${statement.code.startsWith("device_command") ? ` /* ${harmless(statement.source)} */` : ""}`);
  return [...text, `\tend(${me}, ${nth});`].join("\n");
}

function outcome({ places, check }: Plan, words: readonly FinalWord[]): string {
  const widest = Math.max(...words.map(({ allowed }) => allowed.length));
  const sections = [REPORTING];
  if (check.length > 0) sections.push(`/* What the scenario's check does first. */\nstatic void settle(void)\n{\n${check.map(({ code }) => `\t${code};`).join("\n")}\n}`);
  if (words.length > 0) {
    sections.push(`/* Words of the scenario, and what the calls can leave in them, in whatever order. */
static const struct {
	const char *name;
	size_t at;
	unsigned int n;
	uint32_t allowed[${widest}];
} words[] = {
${words.map(({ addr, allowed }) => `	{ "the word at ${places.at(addr)}", 0x${(addr - places.base).toString(16)}, ${allowed.length}, { ${allowed.join(", ")} } },`).join("\n")}
};

#define WORDS (sizeof(words) / sizeof(words[0]))
static unsigned long seen[WORDS][${widest}];
${WORD_FUNCTIONS}`);
  }
  return sections.join("\n\n");
}

const REPORTING = String.raw`/* Nothing but a bug makes a call hang, or an access fail. */
static void on_signal(int signal)
{
	const char *what = signal == SIGALRM ? "it does not end" : "an access has raised a signal";

	dprintf(STDOUT_FILENO, "round %lu: %s\n", current_round, what);
	_exit(FOUND);
}

/* What the kernel has complained about since it was booted, as bits; 0 where it does not tell. */
static unsigned long tainted(void)
{
	char text[32] = "";
	int file = open("/proc/sys/kernel/tainted", O_RDONLY);

	if (file >= 0 && read(file, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	if (file >= 0)
		close(file);
	return strtoul(text, NULL, 10);
}`;

const WORD_FUNCTIONS = String.raw`
static void check_words(void)
{
	for (size_t i = 0; i < WORDS; i++) {
		uint32_t value = load(area + words[i].at);

		seen[i][one_of(words[i].name, value, words[i].n, words[i].allowed)]++;
	}
}

static void print_words(void)
{
	for (size_t i = 0; i < WORDS; i++) {
		printf("%s:", words[i].name);
		for (unsigned int n = 0; n < words[i].n; n++)
			printf("%s %u in %lu rounds", n > 0 ? "," : "", words[i].allowed[n], seen[i][n]);
		printf("\n");
	}
}`;

function main(plan: Plan, allowed: Allowed): string {
  const { delays, check, setup } = plan;
  const words = allowed.final.length > 0;
  const starts = partsOf(plan, allowed).flatMap((part) => PARTS[part].start ?? []);
  const must = setup.some(({ code }) => code !== null && returnsError(code));
  return String.raw`/* Some place where nothing is, with as much free around it. */
static void find_area(void)
{
	size_t size = AREA_SIZE + 2 * AREA_ALIGNMENT;
	char *hole = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (hole == MAP_FAILED) {
		printf("skipped: mmap: %s\n", strerror(errno));
		exit(SKIPPED);
	}
	area = (char *)(((uintptr_t)hole + AREA_ALIGNMENT) & ~(AREA_ALIGNMENT - 1));
	munmap(hole, size);
}

static void play_round(unsigned long round)
{
	current_round = round;
	alarm(60);
	setup();
	for (int i = 0; i < THREADS; i++)
		atomic_store(&progress[i], 0);
${delays > 0 ? "\tchoose_delays(round);\n" : ""}	pthread_barrier_wait(&round_begins);
	pthread_barrier_wait(&round_ends);
${check.length > 0 ? "\tsettle();\n" : ""}${words ? "\tcheck_words();\n" : ""}	for (int i = 0; i < MAPPINGS; i++)
		munmap(area + mappings[i].at, mappings[i].size);
}

int main(int argc, char **argv)
{
	unsigned long taint = tainted();
	pthread_t thread;

	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 0);
${delays > 0 ? "\tif (argc > 2)\n\t\tdelay_max = strtol(argv[2], NULL, 0);\n" : ""}	if (argc > 3 || rounds == 0${delays > 0 ? " || delay_max < 0 || delay_max > 1000000000" : ""}) {
		fprintf(stderr, "usage: %s [rounds [longest delay in ns]]\n", argv[0]);
		return WRONG_USE;
	}
	if (sysconf(_SC_PAGESIZE) != (long)PAGE) {
		printf("skipped: pages are not of %lu bytes here\n", PAGE);
		return SKIPPED;
	}
${starts.map((start) => `\t${start}\n`).join("")}	if (taint != 0)
		printf("the kernel is tainted already (%lu): only what is new will be noticed\n", taint);
	signal(SIGALRM, on_signal);
	signal(SIGSEGV, on_signal);
	signal(SIGBUS, on_signal);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	if (CPU_COUNT(&cpus) < THREADS)
		printf("%d threads share %d CPUs: they cannot all run at once\n", THREADS, CPU_COUNT(&cpus));
	pin(0);
	pthread_barrier_init(&round_begins, NULL, THREADS + 1);
	pthread_barrier_init(&round_ends, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&thread, NULL, race, (void *)&racers[i]) != 0) {
			printf("skipped: no more threads can be had\n");
			return SKIPPED;
		}
	}
	find_area();
	for (unsigned long round = 0; round < rounds; round++) {
		play_round(round);
		if ((tainted() | taint) != taint) {
			printf("round %lu: the kernel is tainted since (%lu): see dmesg\n", round, tainted());
			return FOUND;
		}
	}
	printf("%lu rounds, and nothing that may not be\n", rounds);
${must ? '\tif (setup_failures > 0)\n\t\tprintf("setup failed %lu times\\n", setup_failures);\n' : ""}${words ? "\tprint_words();\n" : ""}	return PASSED;
}`;
}
