/*
 * counter [THREADS [COUNT]] [device]: threads add to one counter atomically, COUNT times each;
 * with `device`, the main thread keeps making the counter's page exclusive to a device meanwhile.
 * Status 0 when no addition was lost.
 */
#include "dmirror.h"
#include "thread.h"

#define ENOENT 2
#define MAX_THREADS 64

struct shared {
	unsigned long counter;
	unsigned long count;
	unsigned int alive[MAX_THREADS];
};

/* Alone on its page, so that the device takes nothing else. */
static struct shared *shared;

static void worker(void)
{
	for (unsigned long i = 0; i < shared->count; i++)
		__atomic_fetch_add(&shared->counter, 1, __ATOMIC_RELAXED);
	for (;;)
		syscall1(__NR_exit, 0);
}

static int anybody_alive(unsigned long threads)
{
	for (unsigned long i = 0; i < threads; i++)
		if (__atomic_load_n(&shared->alive[i], __ATOMIC_ACQUIRE) != 0)
			return 1;
	return 0;
}

int main(int argc, char **argv, char **envp)
{
	int device = argc > 1 && string_equal(argv[argc - 1], "device");
	int numbers = argc - 1 - device;
	unsigned long threads = parse_number(numbers > 0 ? argv[1] : NULL, 4);
	unsigned long count = parse_number(numbers > 1 ? argv[2] : NULL, 100000);
	unsigned long taken = 0;

	(void)envp;
	if (threads > MAX_THREADS)
		threads = MAX_THREADS;
	shared = map_anonymous(PAGE_SIZE);
	shared->count = count;
	char *stacks = map_anonymous(threads * STACK_SIZE);

	for (unsigned long i = 0; i < threads; i++) {
		long tid = start_thread(stacks + i * STACK_SIZE, &shared->alive[i], worker);

		if (tid < 0)
			fail("clone", tid);
	}
	if (device) {
		int fd = sys_open("/dev/hmm_dmirror1", O_RDWR);
		char *mirror = map_anonymous(PAGE_SIZE);

		if (fd < 0)
			fail("open /dev/hmm_dmirror1", fd);
		while (anybody_alive(threads)) {
			long pages = dmirror(fd, HMM_DMIRROR_EXCLUSIVE, shared, mirror, 1);

			/* ENOENT: a CPU took the page back before the device had read it. */
			if (pages < 0 && pages != -ENOENT)
				fail("EXCLUSIVE", pages);
			taken++;
		}
	}
	for (unsigned long i = 0; i < threads; i++)
		while (__atomic_load_n(&shared->alive[i], __ATOMIC_ACQUIRE) != 0)
			syscall4(__NR_futex, &shared->alive[i], FUTEX_WAIT, 1, NULL);

	print("%u threads, %u additions each: %u\n", threads, count, shared->counter);
	if (device)
		print(taken > 0 ? "the device took the page meanwhile\n" : "the device never got the page\n");
	return shared->counter == threads * count ? 0 : 1;
}
