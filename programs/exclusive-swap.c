/*
 * exclusive-swap [step] [MIB]: touches a range (1 GiB unless told), makes every page of it
 * exclusive to a device, 2 MiB at a time, and sleeps. With `step` it waits for SIGCONT before and
 * after it does so, for somebody to look, then checks that each page is what it was, and sleeps.
 */
#include "dmirror.h"

#define CHUNK (2 * MIB)

/* The first word of a page says which it is; memset made all others. */
static void number_pages(char *range, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE_SIZE)
		*(uint64_t *)(range + at) = at;
}

static unsigned long wrong_pages(const char *range, size_t size)
{
	unsigned long wrong = 0;

	for (size_t at = 0; at < size; at += PAGE_SIZE)
		wrong += *(uint64_t *)(range + at) != at || range[at + PAGE_SIZE - 1] != 1;
	return wrong;
}

int main(int argc, char **argv, char **envp)
{
	int step = argc > 1 && string_equal(argv[1], "step");
	size_t size = parse_number(argc > 1 + step ? argv[1 + step] : NULL, 1024) * MIB;
	int fd = sys_open("/dev/hmm_dmirror1", O_RDWR);
	unsigned long exclusive = 0;

	(void)envp;
	if (fd < 0)
		fail("open /dev/hmm_dmirror1", fd);
	if (size == 0 || size % CHUNK != 0) {
		print("the size must be a multiple of 2 MiB\n");
		return 2;
	}
	char *range = map_anonymous(size);
	/* Huge pages would be another experiment. */
	syscall3(__NR_madvise, range, size, MADV_NOHUGEPAGE);
	memset(range, 1, size);
	print("touched %u pages\n", size / PAGE_SIZE);
	if (step) {
		number_pages(range, size);
		wait_for_sigcont();
	}

	char *mirror = map_anonymous(CHUNK);
	for (size_t at = 0; at < size; at += CHUNK) {
		long pages = dmirror(fd, HMM_DMIRROR_EXCLUSIVE, range + at, mirror, CHUNK / PAGE_SIZE);

		if (pages < 0)
			fail("EXCLUSIVE", pages);
		exclusive += (unsigned long)pages;
	}
	print("made %u pages exclusive\n", exclusive);
	if (step) {
		wait_for_sigcont();
		print("checked %u pages, %u wrong\n", size / PAGE_SIZE, wrong_pages(range, size));
	}
	for (;;)
		syscall4(__NR_ppoll, NULL, 0, NULL, NULL);
}
