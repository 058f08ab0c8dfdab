/* bench-exclusive [ROUNDS]: a device takes 4,096 pages exclusively, the CPU takes them back. */
#include "dmirror.h"

#define SIZE (16 * MIB)
#define CHUNK (2 * MIB)

int main(int argc, char **argv, char **envp)
{
	unsigned long rounds = parse_number(argc > 1 ? argv[1] : NULL, 1);
	unsigned long taken = 0;
	int fd = sys_open("/dev/hmm_dmirror1", O_RDWR);

	(void)envp;
	if (fd < 0)
		fail("open /dev/hmm_dmirror1", fd);
	char *range = map_anonymous(SIZE);
	char *mirror = map_anonymous(CHUNK);

	syscall3(__NR_madvise, range, SIZE, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < rounds; i++) {
		for (size_t at = 0; at < SIZE; at += CHUNK) {
			long pages = dmirror(fd, HMM_DMIRROR_EXCLUSIVE, range + at, mirror, CHUNK / PAGE_SIZE);

			if (pages < 0)
				fail("EXCLUSIVE", pages);
			taken += (unsigned long)pages;
		}
		for (size_t at = 0; at < SIZE; at += PAGE_SIZE)
			*(volatile char *)(range + at) = 2;
	}
	print("%u pages\n", taken);
	return 0;
}
