/*
 * NUMA balancing on a machine of two nodes and two CPUs: memory follows the thread that uses it. The program goes on until that
 * has happened, or says after how many rounds it gave up.
 */
#include <linux/mempolicy.h>

#include "smaps.h"

#define PAGES 64ul
#define ROUNDS 200

static void *pages[PAGES];
static int status[PAGES];

static unsigned long on_node(char *p, int node)
{
	unsigned long n = 0;

	for (size_t i = 0; i < PAGES; i++)
		pages[i] = p + i * PAGE_SIZE;
	syscall6(__NR_move_pages, 0, PAGES, (long)pages, 0, (long)status, 0);
	for (size_t i = 0; i < PAGES; i++)
		n += status[i] == node;
	return n;
}

static void on_cpu(unsigned long cpu)
{
	unsigned long mask = 1ul << cpu;

	syscall3(__NR_sched_setaffinity, 0, sizeof(mask), &mask);
	syscall0(__NR_sched_yield);
}

static void use(const char *what, char *p, int node, unsigned long enough)
{
	int round;

	for (round = 0; round < ROUNDS && on_node(p, node) < enough; round++)
		for (int again = 0; again < 100; again++)
			for (size_t i = 0; i < PAGES; i++)
				((volatile char *)p)[i * PAGE_SIZE]++;
	print("%s: %s, %u pages on node %d\n", what, round < ROUNDS ? "moved" : "stays", on_node(p, node), (long)node);
}

static unsigned long event(const char *name)
{
	return number_in("/proc/vmstat", name);
}

int main(int argc, char **argv, char **envp)
{
	char *p = map_anonymous(PAGES * PAGE_SIZE);
	char *bound = map_anonymous((PAGES + 1) * PAGE_SIZE) + PAGE_SIZE;
	char *balanced = map_anonymous((PAGES + 1) * PAGE_SIZE) + PAGE_SIZE;
	char *more = map_anonymous(32 * PAGE_SIZE);
	char sum = 0;

	(void)argc;
	(void)argv;
	(void)envp;
	on_cpu(0);
	syscall6(__NR_mbind, (long)bound, PAGES * PAGE_SIZE, MPOL_BIND, (long)&(unsigned long){ 3 }, 65, 0);
	syscall6(__NR_mbind, (long)balanced, PAGES * PAGE_SIZE, MPOL_BIND | MPOL_F_NUMA_BALANCING, (long)&(unsigned long){ 3 }, 65, 0);
	for (size_t i = 0; i < PAGES; i++) {
		p[i * PAGE_SIZE] = 1;
		bound[i * PAGE_SIZE] = 1;
		balanced[i * PAGE_SIZE] = 1;
	}
	/* What waits in a batch of the CPU for its way to an LRU list cannot move: these push the others out. */
	for (size_t i = 0; i < 32; i++)
		more[i * PAGE_SIZE] = 1;
	print("on node 0 at first: %u %u %u\n", on_node(p, 0), on_node(bound, 0), on_node(balanced, 0));
	on_cpu(1);
	use("by default", p, 1, PAGES);
	use("bound to both", bound, 1, 1);
	use("bound to both, with balancing", balanced, 1, PAGES);
	for (size_t i = 1; i < PAGES; i++)
		sum |= p[i * PAGE_SIZE] ^ p[0];
	print("contents differ: %d\n", (long)sum);
	print("scanned %d, faults %d, local faults %d, moved %d, as many as have moved %d\n", (long)(event("numa_pte_updates") > 0),
	      (long)(event("numa_hint_faults") > 0), (long)(event("numa_hint_faults_local") < event("numa_hint_faults")),
	      (long)(event("numa_pages_migrated") >= 2 * PAGES), (long)(event("numa_pages_migrated") <= event("pgmigrate_success")));
	return 0;
}
