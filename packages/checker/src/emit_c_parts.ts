/** Functions of the emitted program, of which each program has those that it needs. */
export type Part = "one_of" | "load" | "store" | "add" | "device" | "pattern" | "reclaim" | "drain" | "migrate" | "hold";

interface PartText {
  readonly includes: readonly string[];
  readonly text: string;
  /** What it prepares, once, as statements of main(). */
  readonly start?: string;
}

export const PARTS: Readonly<Record<Part, PartText>> = {
  one_of: {
    includes: [],
    text: String.raw`
/* Which of n allowed values it is; none is a bug. */
static unsigned int one_of(const char *what, uint32_t value, unsigned int n, const uint32_t *allowed)
{
	for (unsigned int i = 0; i < n; i++) {
		if (allowed[i] == value)
			return i;
	}
	printf("round %lu: %s is %u, which no order of the calls can give\n", current_round, what, value);
	exit(FOUND);
}
`,
  },

  load: {
    includes: [],
    text: String.raw`
static uint32_t load(const char *addr)
{
	return *(const volatile uint32_t *)addr;
}
`,
  },

  store: {
    includes: [],
    text: String.raw`
static void store(char *addr, uint32_t value)
{
	*(volatile uint32_t *)addr = value;
}
`,
  },

  add: {
    includes: [],
    text: String.raw`
static void add(char *addr, uint32_t value)
{
	__atomic_fetch_add((uint32_t *)addr, value, __ATOMIC_SEQ_CST);
}
`,
  },

  device: {
    includes: ["linux/types.h", "sys/ioctl.h"],
    text: String.raw`
/* The commands of the test driver, lib/test_hmm.c. */
struct hmm_dmirror_cmd {
	uint64_t addr;
	uint64_t ptr;
	uint64_t npages;
	uint64_t cpages;
	uint64_t faults;
};

#define HMM_DMIRROR_READ _IOWR('H', 0x00, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_WRITE _IOWR('H', 0x01, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_EXCLUSIVE _IOWR('H', 0x05, struct hmm_dmirror_cmd)

static int devices[DEVICES];
/* What devices copy memory to, for each thread and for main(). */
static char mirror[THREADS + 1][MIRROR_PAGES * PAGE] __attribute__((aligned(4096)));

static int device_command(int device, unsigned long command, char *addr, size_t pages, char *buffer)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)addr,
		.ptr = (uintptr_t)buffer,
		.npages = pages,
	};
	int error;

	do {
		error = ioctl(devices[device], command, &cmd);
	} while (error < 0 && errno == EINTR);
	return error;
}

static void open_devices(void)
{
	char path[32];

	for (int i = 0; i < DEVICES; i++) {
		snprintf(path, sizeof(path), "/dev/hmm_dmirror%d", i);
		devices[i] = open(path, O_RDWR);
		if (devices[i] < 0) {
			printf("skipped: %s: %s (modprobe test_hmm, as root)\n", path, strerror(errno));
			exit(SKIPPED);
		}
	}
	/* Nothing of the buffers is to be faulted in during the race. */
	memset(mirror, 1, sizeof(mirror));
}
`,
    start: "open_devices();",
  },

  pattern: {
    includes: [],
    text: String.raw`
/* What devices write. */
static char pattern[MIRROR_PAGES * PAGE] __attribute__((aligned(4096)));
`,
    start: "memset(pattern, 0xd0, sizeof(pattern));",
  },

  reclaim: {
    includes: [],
    text: String.raw`
static int reclaim_file = -1;

/* memory.reclaim of the cgroup that the program is in, by its line in /proc/self/cgroup. */
static void open_reclaim(void)
{
	char line[512], path[600];
	FILE *file = fopen("/proc/self/cgroup", "r");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) != 0)
			continue;
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.reclaim", line + 3);
		reclaim_file = open(path, O_WRONLY);
	}
	if (file != NULL)
		fclose(file);
	if (reclaim_file < 0)
		printf("memory.reclaim may not be written here: MADV_PAGEOUT instead\n");
}

static void reclaim(size_t bytes)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%zu", bytes);

	/* It fails where less was reclaimed; so may the scenario's. */
	if (reclaim_file >= 0 && write(reclaim_file, text, (size_t)length) >= 0)
		return;
	for (int i = 0; reclaim_file < 0 && i < MAPPINGS; i++)
		madvise(area + mappings[i].at, mappings[i].size, MADV_PAGEOUT);
}
`,
    start: "open_reclaim();",
  },

  drain: {
    includes: [],
    text: String.raw`
/*
 * Empties the folio batches of this CPU, which hold references to new pages: MADV_COLD does,
 * whatever it is used on. Setup has run on this CPU alone.
 */
static void drain_lru_batches(void)
{
	static char scratch[PAGE] __attribute__((aligned(4096)));

	scratch[0] = 1;
	madvise(scratch, PAGE, MADV_COLD);
}
`,
  },

  migrate: {
    includes: ["sys/syscall.h"],
    text: String.raw`
/* Flag of move_pages(2). */
#define MOVE_MINE (1 << 1)

/* The frame that a page is in; 0 where only root may know. */
static unsigned long frame_of(const char *page)
{
	uint64_t entry;
	int file = open("/proc/self/pagemap", O_RDONLY);

	if (file < 0 || pread(file, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE * sizeof(entry))) != sizeof(entry))
		entry = 0;
	if (file >= 0)
		close(file);
	entry &= (UINT64_C(1) << 63) - 1;
	/* Bit 62 is set for swap entries; one that is device-exclusive has the frame as its offset. */
	if (entry >> 62)
		entry >>= 5;
	return (unsigned long)(entry & ((UINT64_C(1) << 50) - 1));
}

static int set_block_state(unsigned long frame, const char *state)
{
	char text[64] = "";
	FILE *file = fopen("/sys/devices/system/memory/block_size_bytes", "r");
	int done;

	if (file == NULL || fgets(text, sizeof(text), file) == NULL || frame == 0) {
		if (file != NULL)
			fclose(file);
		return 0;
	}
	fclose(file);
	snprintf(text, sizeof(text), "/sys/devices/system/memory/memory%lu/state", frame / (strtoul(text, NULL, 16) / PAGE));
	file = fopen(text, "w");
	if (file == NULL)
		return 0;
	done = fputs(state, file) >= 0;
	return (fclose(file) == 0) & done;
}

/*
 * Moves a page out of its frame: to the other of two NUMA nodes where there are two and the page
 * is mapped, else by taking the memory block offline that the frame was in, which root may do, and
 * which nothing else may have pinned memory in. (movable_node, or online_movable, makes such.)
 */
static void migrate(char *page, unsigned long frame)
{
	static int impossible;
	void *pages[] = { page };
	int node = -1, status = -1, other;

	/* Without nodes to go to, it tells where pages are. */
	if (syscall(SYS_move_pages, 0, 1ul, pages, NULL, &node, 0) == 0 && node >= 0) {
		other = node == 0;
		if (syscall(SYS_move_pages, 0, 1ul, pages, &other, &status, MOVE_MINE) == 0 && status == other)
			return;
	}
	if (set_block_state(frame, "offline"))
		set_block_state(frame, "online_movable");
	else if (!impossible++)
		printf("pages cannot be migrated here: no second NUMA node to go to, no memory block that goes offline\n");
}
`,
  },

  hold: {
    includes: ["sys/ioctl.h", "sys/uio.h"],
    text: String.raw`
static int hold_pipe[2];

static void open_hold(void)
{
	if (pipe(hold_pipe) < 0) {
		printf("skipped: pipe: %s\n", strerror(errno));
		exit(SKIPPED);
	}
}

/* vmsplice(2) holds a page as a driver does, by get_user_pages_fast(), as long as it is in the pipe. */
static int hold_page(char *addr)
{
	struct iovec range = { .iov_base = addr, .iov_len = 1 };

	return vmsplice(hold_pipe[1], &range, 1, SPLICE_F_NONBLOCK) == 1 ? 0 : -1;
}

static void release_page(void)
{
	char byte;
	int there;

	/* Nothing is in the pipe where the page could not be had. */
	if (ioctl(hold_pipe[0], FIONREAD, &there) == 0 && there > 0 && read(hold_pipe[0], &byte, 1) != 1)
		printf("the pipe: %s\n", strerror(errno));
}
`,
    start: "open_hold();",
  },
};
