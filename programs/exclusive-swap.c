/*
 * exclusive-swap [step] [MIB]: touches a range (1 GiB unless told), makes every page of it
 * exclusive to a device, 2 MiB at a time, and sleeps. With `step` it first waits for SIGCONT
 * between the two, so that somebody can look.
 */
#include "dmirror.h"

#define CHUNK (2 * MIB)

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
	if (step)
		wait_for_sigcont();

	char *mirror = map_anonymous(CHUNK);
	for (size_t at = 0; at < size; at += CHUNK) {
		long pages = dmirror(fd, HMM_DMIRROR_EXCLUSIVE, range + at, mirror, CHUNK / PAGE_SIZE);

		if (pages < 0)
			fail("EXCLUSIVE", pages);
		exclusive += (unsigned long)pages;
	}
	print("made %u pages exclusive\n", exclusive);
	for (;;)
		syscall4(__NR_ppoll, NULL, 0, NULL, NULL);
}
