/*
 * exclusive-check [MIB]: fills a range (64 MiB unless told) with words that differ, makes it
 * exclusive to a device, waits for SIGCONT (reclaim may happen meanwhile), then checks every
 * word: first as the device reads it, then as the CPU does. Status 0 when all are right.
 */
#include "dmirror.h"

#define CHUNK (2 * MIB)

static uint64_t word_at(size_t index)
{
	return (index + 1) * 0x9e3779b97f4a7c15ul;
}

static unsigned long count_wrong(const uint64_t *words, size_t first, size_t n)
{
	unsigned long wrong = 0;

	for (size_t i = 0; i < n; i++)
		wrong += words[i] != word_at(first + i);
	return wrong;
}

static unsigned long run_device(int fd, unsigned long command, const char *name, char *range, size_t size, char *mirror)
{
	unsigned long wrong = 0;

	for (size_t at = 0; at < size; at += CHUNK) {
		long pages = dmirror(fd, command, range + at, mirror, CHUNK / PAGE_SIZE);

		if (pages < 0)
			fail(name, pages);
		if ((size_t)pages != CHUNK / PAGE_SIZE) {
			print("%s: %d pages of a chunk\n", name, pages);
			exit_group(1);
		}
		wrong += count_wrong((uint64_t *)mirror, at / 8, CHUNK / 8);
	}
	return wrong;
}

int main(int argc, char **argv, char **envp)
{
	size_t size = parse_number(argc > 1 ? argv[1] : NULL, 64) * MIB;
	int fd = sys_open("/dev/hmm_dmirror1", O_RDWR);

	(void)envp;
	if (fd < 0)
		fail("open /dev/hmm_dmirror1", fd);
	if (size == 0 || size % CHUNK != 0) {
		print("the size must be a multiple of 2 MiB\n");
		return 2;
	}
	char *range = map_anonymous(size);
	char *mirror = map_anonymous(CHUNK);
	uint64_t *words = (uint64_t *)range;

	syscall3(__NR_madvise, range, size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size / 8; i++)
		words[i] = word_at(i);
	unsigned long wrong = run_device(fd, HMM_DMIRROR_EXCLUSIVE, "EXCLUSIVE", range, size, mirror);
	print("exclusive: %u words, %u wrong\n", size / 8, wrong);
	wait_for_sigcont();

	unsigned long device = run_device(fd, HMM_DMIRROR_READ, "READ", range, size, mirror);
	print("the device reads: %u words, %u wrong\n", size / 8, device);
	unsigned long cpu = count_wrong(words, 0, size / 8);
	print("the CPU reads: %u words, %u wrong\n", size / 8, cpu);
	return wrong + device + cpu == 0 ? 0 : 1;
}
