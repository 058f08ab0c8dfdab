/*
 * Memory goes to and fro between two nodes while a thread, or a child, uses it, as the kernel's selftest "migration" has it: of
 * each kind of memory how often it moved, and whether all is there.
 */
#include <linux/mempolicy.h>

#include "huge.h"
#include "process.h"
#include "thread.h"

#define MOVES 20
/* Who uses a page just then keeps it for a moment. */
#define TRIES 10

static volatile uint64_t *word;
static volatile int stop;
static volatile uint64_t sum;
static unsigned int alive;

static void use(void)
{
	while (!stop)
		sum += *word;
	for (;;)
		syscall1(__NR_exit, 0);
}

/* The node that the page is on in the end; -1 where a move fails for good. */
static int move_to(void *page, int node)
{
	int status = -1;

	for (int i = 0; i < TRIES; i++) {
		long failed = syscall6(__NR_move_pages, 0, 1, (long)&page, (long)&node, (long)&status, MPOL_MF_MOVE_ALL);

		if (failed < 0)
			fail("move_pages", failed);
		if (failed == 0)
			return status;
	}
	return -1;
}

static void to_and_fro(const char *what, char *page)
{
	int moved = 0;

	syscall4(__NR_migrate_pages, 0, 65, &(unsigned long){ 2 }, &(unsigned long){ 1 });
	for (int i = 0; i < MOVES; i++)
		moved += move_to(page, 1 - i % 2) == 1 - i % 2;
	print("%s: %d of %d moves, %x\n", what, (long)moved, (long)MOVES, *(uint64_t *)page);
}

static void beside_a_thread(const char *what, char *page)
{
	char *stack = map_anonymous(STACK_SIZE);

	*(uint64_t *)page = 0x1234567;
	word = (uint64_t *)page;
	stop = 0;
	start_thread(stack, &alive, use);
	to_and_fro(what, page);
	stop = 1;
	while (*(volatile unsigned int *)&alive != 0)
		syscall0(__NR_sched_yield);
}

static void beside_a_child(const char *what, char *page)
{
	long pid;

	*(uint64_t *)page = 0x1234567;
	word = (uint64_t *)page;
	pid = fork_();
	if (pid == 0)
		for (;;)
			sum += *word;
	to_and_fro(what, page);
	syscall2(__NR_kill, pid, 9);
	wait_(pid);
}

int main(int argc, char **argv, char **envp)
{
	char *room = map_anonymous(4 * MIB);
	char *huge = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));

	(void)argc;
	(void)argv;
	(void)envp;
	beside_a_thread("private memory", map_anonymous(PAGE_SIZE));
	beside_a_child("private memory that a child has, too", map_anonymous(PAGE_SIZE));
	beside_a_child("shared memory", (char *)syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	advise("MADV_HUGEPAGE", huge, HUGE, MADV_HUGEPAGE);
	beside_a_thread("a huge page", huge);
	beside_a_child("a huge page that a child has, too", huge);
	return 0;
}
