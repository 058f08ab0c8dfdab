/*
 * fork-tree SEED: processes that write, give back, page out, protect and fork at random, each with a
 * model of its own of what its memory holds. Whoever finds a byte that is not the model's says so
 * and exits with 99, and so does whoever had a child that did. Prints a number that depends on the
 * seed alone: on any Linux the same.
 */
#include "start.h"
#include <linux/mman.h>

#define PAGES_MAX 700
#define OPERATIONS 60
#define DEPTH_MAX 3
#define CHILDREN_MAX 3
#define WRONG 99

static unsigned int state;
static unsigned char model[PAGES_MAX];
static volatile unsigned char *memory;
static int pages;

static int draw(unsigned int n)
{
	state = state * 1103515245u + 12345u;
	return (int)((state >> 8) % n);
}

static volatile unsigned char *byte(int page)
{
	return memory + (size_t)page * PAGE_SIZE + page % PAGE_SIZE;
}

static void check(int from, int end)
{
	for (int i = from; i < end; i++) {
		if (*byte(i) == model[i])
			continue;
		print("page %d is %d instead of %d\n", (long)i, (long)*byte(i), (long)model[i]);
		exit_group(WRONG);
	}
}

static unsigned long reap(long pid)
{
	int status = 0;

	if (syscall4(__NR_wait4, pid, &status, 0, 0) < 0 || (status & 0x7f) != 0 || status >> 8 == WRONG) {
		print("a child ends with 0x%x\n", (unsigned long)status);
		exit_group(WRONG);
	}
	return (unsigned long)status >> 8;
}

static unsigned long live(int depth);

/* The child does the same, and exits with what comes of it. */
static void child(int depth)
{
	unsigned long sum = live(depth + 1);

	check(0, pages);
	exit_group((int)(sum % 90));
}

static unsigned long live(int depth)
{
	unsigned long sum = (unsigned long)depth;
	int children = 0;

	for (int op = 0; op < OPERATIONS; op++) {
		int from = draw((unsigned int)pages);
		int end = from + 1 + draw(40);
		volatile unsigned char *start = memory + (size_t)from * PAGE_SIZE;
		size_t length;

		if (end > pages)
			end = pages;
		length = (size_t)(end - from) * PAGE_SIZE;
		switch (draw(9)) {
		case 0:
		case 1:
			for (int i = from; i < end; i++)
				*byte(i) = model[i] = (unsigned char)draw(256);
			break;
		case 2:
			check(from, end);
			break;
		case 3:
			syscall3(__NR_madvise, start, length, MADV_DONTNEED);
			for (int i = from; i < end; i++)
				model[i] = 0;
			break;
		case 4:
			syscall3(__NR_madvise, start, length, MADV_PAGEOUT);
			break;
		case 5:
			syscall3(__NR_mprotect, start, length, PROT_READ);
			syscall3(__NR_mprotect, start, length, PROT_READ | PROT_WRITE);
			break;
		case 6:
			syscall3(__NR_madvise, start, length, MADV_COLD);
			break;
		default: {
			unsigned int seed;
			long pid;

			if (depth == DEPTH_MAX || children == CHILDREN_MAX)
				break;
			seed = (unsigned int)draw(1 << 20);
			pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
			if (pid == 0) {
				state = seed;
				child(depth);
			}
			if (pid < 0)
				fail("clone", pid);
			/* Some are waited for at once, the others go on beside their parent. */
			if (draw(2))
				sum = sum * 31 + reap(pid);
			else
				children++;
		}
		}
	}
	while (children-- > 0)
		sum += 7 * reap(-1);
	for (int i = 0; i < pages; i++)
		sum = sum * 33 + model[i];
	return sum;
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	state = (unsigned int)parse_number(argc > 1 ? argv[1] : "", 1);
	pages = 100 + draw(PAGES_MAX - 100);
	memory = map_anonymous(PAGES_MAX * PAGE_SIZE);
	print("%x\n", live(0));
	check(0, pages);
	return 0;
}
