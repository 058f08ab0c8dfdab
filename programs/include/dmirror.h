/* The commands of the kernel's HMM test driver, as its users call them. */
#ifndef FAULTLINE_DMIRROR_H
#define FAULTLINE_DMIRROR_H

#include "start.h"
#include <linux/ioctl.h>

struct hmm_dmirror_cmd {
	uint64_t addr;
	uint64_t ptr;
	uint64_t npages;
	uint64_t cpages;
	uint64_t faults;
};

#define HMM_DMIRROR_READ _IOWR('H', 0x00, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_WRITE _IOWR('H', 0x01, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_DEV _IOWR('H', 0x02, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_SYS _IOWR('H', 0x03, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_SNAPSHOT _IOWR('H', 0x04, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_EXCLUSIVE _IOWR('H', 0x05, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_CHECK_EXCLUSIVE _IOWR('H', 0x06, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_RELEASE _IOWR('H', 0x07, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_FLAGS _IOWR('H', 0x08, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_READ_UNLOCKED _IOWR('H', 0x09, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_FLAG_FAIL_ALLOC 1

#define EINTR 4

/* Runs a command over a range; returns the pages it completed, or a negated errno. */
__attribute__((unused)) static long dmirror(int fd, unsigned long command, void *addr, void *mirror, size_t pages)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)addr,
		.ptr = (uintptr_t)mirror,
		.npages = pages,
	};
	long error;

	do {
		error = syscall3(__NR_ioctl, fd, command, &cmd);
	} while (error == -EINTR);
	return error < 0 ? error : (long)cmd.cpages;
}

/* Prints what SNAPSHOT says of up to 1024 pages: bytes in hexadecimal, and how many are the same in a row. */
__attribute__((unused)) static void dmirror_snapshot(int fd, char *addr, size_t npages)
{
	static const char digits[] = "0123456789abcdef";
	static unsigned char bytes[1024];
	struct hmm_dmirror_cmd cmd = { .addr = (uintptr_t)addr, .ptr = (uintptr_t)bytes, .npages = npages };
	long error = syscall3(__NR_ioctl, fd, HMM_DMIRROR_SNAPSHOT, &cmd);

	print("  snapshot %d:", error);
	for (size_t i = 0; i < npages;) {
		char byte[3] = { digits[bytes[i] >> 4], digits[bytes[i] & 15], 0 };
		size_t run = 1;

		while (i + run < npages && bytes[i + run] == bytes[i])
			run++;
		print(" %dx%s", run, byte);
		i += run;
	}
	print("\n");
}

#endif
