/*
 * mirror: one word, as the CPU and the device of docs/drivers.md see it. Run with
 * --driver scenarios/drivers/mirror.ts.
 */
#include "start.h"
#include <linux/ioctl.h>

struct mirror_cmd {
	uint64_t addr;
	uint64_t value;
};

#define MIRROR_LOAD _IOWR('M', 0, struct mirror_cmd)
#define MIRROR_STORE _IOWR('M', 1, struct mirror_cmd)

/* What the device reads, or a negated errno. */
static long device_load(int fd, const volatile uint32_t *word)
{
	struct mirror_cmd cmd = { .addr = (uintptr_t)word };
	long error = syscall3(__NR_ioctl, fd, MIRROR_LOAD, &cmd);

	return error < 0 ? error : (long)cmd.value;
}

static long device_store(int fd, const volatile uint32_t *word, uint32_t value)
{
	struct mirror_cmd cmd = { .addr = (uintptr_t)word, .value = value };

	return syscall3(__NR_ioctl, fd, MIRROR_STORE, &cmd);
}

int main(int argc, char **argv, char **envp)
{
	int fd = sys_open("/dev/mirror0", O_RDWR);
	volatile uint32_t *word = map_anonymous(PAGE_SIZE);

	(void)argc, (void)argv, (void)envp;
	if (fd < 0)
		fail("open /dev/mirror0", fd);
	*word = 1;
	print("the CPU writes 1, the device reads %d\n", device_load(fd, word));
	*word = 2;
	print("the CPU writes 2, the device reads %d\n", device_load(fd, word));
	print("the device writes 3: %d, ", device_store(fd, word, 3));
	print("the CPU reads %d\n", (long)*word);
	syscall3(__NR_madvise, word, PAGE_SIZE, MADV_DONTNEED);
	print("after MADV_DONTNEED the device reads %d\n", device_load(fd, word));
	syscall3(__NR_munmap, word, PAGE_SIZE, 0);
	print("after munmap() it gets %d\n", device_load(fd, word));
	return 0;
}
