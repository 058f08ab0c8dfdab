/*
 * NUMA policies: what mbind(), set_mempolicy(), get_mempolicy(), move_pages(), migrate_pages() and
 * set_mempolicy_home_node() answer where there is one node. Prints the same natively on Linux. With "two", on a machine of
 * two nodes and two CPUs: where pages go by which policy, and how they move.
 */
#include <linux/mempolicy.h>

#include "smaps.h"

#ifndef MPOL_WEIGHTED_INTERLEAVE
#define MPOL_WEIGHTED_INTERLEAVE 6
#endif

#define RW (PROT_READ | PROT_WRITE)
#define PAGES 8ul

static char *map(void)
{
	/* A page of nothing behind each, so that none merges with its neighbour. */
	char *p = map_anonymous((PAGES + 1) * PAGE_SIZE);

	syscall3(__NR_mprotect, p + PAGES * PAGE_SIZE, PAGE_SIZE, PROT_NONE);
	return p;
}

static void touch(char *p)
{
	for (size_t i = 0; i < PAGES; i++)
		p[i * PAGE_SIZE] = (char)i;
}

static long bind_to(char *p, long mode, unsigned long nodes, long flags)
{
	return syscall6(__NR_mbind, (long)p, (long)(PAGES * PAGE_SIZE), mode, (long)&nodes, 65, flags);
}

static long policy(long mode, unsigned long nodes)
{
	return syscall3(__NR_set_mempolicy, mode, &nodes, 65);
}

/* The line of numa_maps that begins with an address. */
static void maps(const char *what, const char *p)
{
	const char *line;

	slurp("/proc/self/numa_maps");
	for (line = text; *line != 0;) {
		const char *s = line;
		const char *end = line;

		while (*end != 0 && *end != '\n')
			end++;
		if (hex(&s) == (uintptr_t)p) {
			static char copy[200];
			size_t n = 0;

			/* On riscv it is 4 KiB, too; what is active depends on batches. */
			while (s < end && n < sizeof(copy) - 1) {
				if (starts_with(s, " active=") || starts_with(s, " kernelpagesize")) {
					s++;
					while (s < end && *s != ' ')
						s++;
					continue;
				}
				copy[n++] = *s++;
			}
			copy[n] = 0;
			print("%s:%s\n", what, copy);
		}
		line = *end != 0 ? end + 1 : end;
	}
}

static void where(const char *what, char *p)
{
	void *pages[PAGES];
	int status[PAGES];

	for (size_t i = 0; i < PAGES; i++)
		pages[i] = p + i * PAGE_SIZE;
	print("%s: %d:", what, syscall6(__NR_move_pages, 0, PAGES, (long)pages, 0, (long)status, 0));
	for (size_t i = 0; i < PAGES; i++)
		print(" %d", (long)status[i]);
	print("\n");
}

static long move(char *p, size_t n, int node, long flags)
{
	void *pages[PAGES];
	int nodes[PAGES];
	int status[PAGES];
	long result;

	for (size_t i = 0; i < n; i++) {
		pages[i] = p + i * PAGE_SIZE;
		nodes[i] = node;
		status[i] = 77;
	}
	result = syscall6(__NR_move_pages, 0, (long)n, (long)pages, (long)nodes, (long)status, flags);
	print("moved to %d: %d:", (long)node, result);
	for (size_t i = 0; i < n; i++)
		print(" %d", (long)status[i]);
	print("\n");
	return result;
}

static void asked(const char *what, char *p)
{
	int mode = 77;
	unsigned long nodes[16] = { 0 };
	long result = syscall5(__NR_get_mempolicy, &mode, nodes, 1025, p, p ? MPOL_F_ADDR : 0);

	print("%s: %d mode %x nodes %x\n", what, result, (unsigned long)mode, nodes[0]);
}

/* The policy of a file in memory is its own: who maps it elsewhere has it, too. */
static void shared(long nodes)
{
	int fd = (int)syscall3(__NR_memfd_create, "shared", 0, 0);
	char *p;
	char *q;

	syscall3(__NR_ftruncate, fd, PAGES * PAGE_SIZE, 0);
	p = (char *)syscall6(__NR_mmap, 0, PAGES * PAGE_SIZE, RW, MAP_SHARED, fd, 0);
	q = (char *)syscall6(__NR_mmap, 0, PAGES * PAGE_SIZE, RW, MAP_SHARED, fd, 0);
	print("half of a file: %d\n", syscall6(__NR_mbind, (long)p, PAGES / 2 * PAGE_SIZE, MPOL_BIND, (long)&nodes, 65, 0));
	asked("by the other mapping", q + PAGE_SIZE);
	asked("the other half", q + PAGES / 2 * PAGE_SIZE);
	print("its second page: %d\n", syscall6(__NR_mbind, (long)(q + PAGE_SIZE), PAGE_SIZE, MPOL_PREFERRED, (long)&nodes, 65, 0));
	asked("by the first", p + PAGE_SIZE);
	asked("behind it", p + 2 * PAGE_SIZE);
	touch(q);
	where("its pages", q);
	print("by default again: %d\n", syscall6(__NR_mbind, (long)p, PAGES * PAGE_SIZE, MPOL_DEFAULT, 0, 0, 0));
	asked("by the other mapping", q + PAGE_SIZE);
}

static void one(void)
{
	static const struct {
		long mode;
		unsigned long nodes;
	} tried[] = {
		{ MPOL_DEFAULT, 0 }, { MPOL_DEFAULT, 1 }, { MPOL_DEFAULT | MPOL_F_STATIC_NODES, 0 },
		{ MPOL_PREFERRED, 0 }, { MPOL_PREFERRED, 1 }, { MPOL_PREFERRED | MPOL_F_STATIC_NODES, 0 },
		{ MPOL_PREFERRED | MPOL_F_STATIC_NODES, 1 }, { MPOL_PREFERRED, 2 },
		{ MPOL_BIND, 0 }, { MPOL_BIND, 1 }, { MPOL_BIND, 3 }, { MPOL_BIND, 2 },
		{ MPOL_BIND | MPOL_F_RELATIVE_NODES, 1 }, { MPOL_BIND | MPOL_F_RELATIVE_NODES, 8 },
		{ MPOL_BIND | MPOL_F_STATIC_NODES, 3 }, { MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, 1 },
		{ MPOL_BIND | MPOL_F_NUMA_BALANCING, 1 }, { MPOL_PREFERRED_MANY | MPOL_F_NUMA_BALANCING, 1 },
		{ MPOL_BIND | MPOL_F_NUMA_BALANCING | MPOL_F_STATIC_NODES, 1 },
		{ MPOL_INTERLEAVE | MPOL_F_NUMA_BALANCING, 1 }, { MPOL_INTERLEAVE, 1 }, { MPOL_INTERLEAVE, 0 },
		{ MPOL_LOCAL, 0 }, { MPOL_LOCAL, 1 }, { MPOL_LOCAL | MPOL_F_STATIC_NODES, 0 },
		{ MPOL_PREFERRED_MANY, 1 }, { MPOL_WEIGHTED_INTERLEAVE, 1 }, { 7, 1 }, { -1, 1 },
	};
	char *p = map();
	char *q = map();
	char *edge = map_anonymous(3 * PAGE_SIZE);
	int node = 77;

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		long result = policy(tried[i].mode, tried[i].nodes);

		print("set_mempolicy %x %x: %d\n", (unsigned long)tried[i].mode & 0xffffffff, tried[i].nodes, result);
		if (result == 0)
			asked("  it is", 0);
		result = bind_to(p, tried[i].mode, tried[i].nodes, 0);
		print("  mbind: %d\n", result);
		if (result == 0) {
			asked("  it is", p);
			maps("  shown", p);
		}
	}
	policy(MPOL_DEFAULT, 0);
	bind_to(p, MPOL_DEFAULT, 0, 0);
	touch(p);
	maps("touched", p);
	where("touched", p);
	where("untouched", q);
	print("strict, moves, a flag that there is not, strict by default: %d", bind_to(p, MPOL_BIND, 1, MPOL_MF_STRICT));
	print(" %d", bind_to(p, MPOL_BIND, 1, MPOL_MF_MOVE));
	print(" %d", bind_to(p, MPOL_BIND, 1, 8));
	print(" %d\n", bind_to(p, MPOL_DEFAULT, 0, MPOL_MF_STRICT | MPOL_MF_MOVE));
	print("one of its pages: %d\n", syscall6(__NR_mbind, (long)p, PAGE_SIZE, MPOL_BIND, (long)&(unsigned long){ 1 }, 65, 0));
	maps("first", p);
	maps("second", p + PAGE_SIZE);
	print("the rest: %d\n", syscall6(__NR_mbind, (long)(p + PAGE_SIZE), (PAGES - 1) * PAGE_SIZE, MPOL_BIND, (long)&(unsigned long){ 1 }, 65, 0));
	maps("all", p);
	maps("second", p + PAGE_SIZE);
	syscall2(__NR_munmap, edge + PAGE_SIZE, PAGE_SIZE);
	print("over a hole: %d\n", syscall6(__NR_mbind, (long)edge, 3 * PAGE_SIZE, MPOL_BIND, (long)&(unsigned long){ 1 }, 65, 0));
	maps("ahead of it", edge);
	move(p, 3, 0, MPOL_MF_MOVE);
	move(p, 1, 1, MPOL_MF_MOVE);
	move(q, 2, 0, MPOL_MF_MOVE);
	print("node of a page: %d", syscall5(__NR_get_mempolicy, &node, 0, 0, q, MPOL_F_NODE | MPOL_F_ADDR));
	print(" %d\n", (long)node);
	where("read", q);
	move(q, 2, 0, MPOL_MF_MOVE);
	print("migrate_pages: %d", syscall4(__NR_migrate_pages, 0, 65, &(unsigned long){ 1 }, &(unsigned long){ 1 }));
	print(" %d\n", syscall4(__NR_migrate_pages, 0, 65, &(unsigned long){ 1 }, &(unsigned long){ 0 }));
#ifndef __NR_set_mempolicy_home_node
#define __NR_set_mempolicy_home_node 450
#endif
	print("home node: %d", syscall4(__NR_set_mempolicy_home_node, p, PAGES * PAGE_SIZE, 0, 0));
	print(" %d", syscall4(__NR_set_mempolicy_home_node, p, PAGES * PAGE_SIZE, 1, 0));
	print(" %d", syscall4(__NR_set_mempolicy_home_node, p, PAGES * PAGE_SIZE, 0, 1));
	print(" %d", syscall4(__NR_set_mempolicy_home_node, q, PAGES * PAGE_SIZE, 0, 0));
	bind_to(q, MPOL_INTERLEAVE, 1, 0);
	print(" %d", syscall4(__NR_set_mempolicy_home_node, q, PAGES * PAGE_SIZE, 0, 0));
	print(" %d", syscall4(__NR_set_mempolicy_home_node, q + 1, PAGE_SIZE, 0, 0));
	print(" %d\n", syscall4(__NR_set_mempolicy_home_node, q, 0, 0, 0));
	maps("with a home", p);
	shared(1);
	policy(MPOL_INTERLEAVE, 1);
	print("next: %d", syscall5(__NR_get_mempolicy, &node, 0, 0, 0, MPOL_F_NODE));
	print(" %d\n", (long)node);
}

static void on_cpu(unsigned long cpu)
{
	unsigned long mask = 1ul << cpu;
	unsigned int at = 77;
	unsigned int node = 77;

	syscall3(__NR_sched_setaffinity, 0, sizeof(mask), &mask);
	syscall0(__NR_sched_yield);
	syscall3(__NR_getcpu, &at, &node, 0);
	print("on CPU %u of node %u\n", (unsigned long)at, (unsigned long)node);
}

static void show(const char *path)
{
	size_t n = slurp(path);

	print("%s: %s", path, n > 0 ? text : "nothing\n");
}

static void two(void)
{
	char *p;

	show("/sys/devices/system/node/online");
	show("/sys/devices/system/node/node0/cpulist");
	show("/sys/devices/system/node/node1/cpulist");
	show("/sys/devices/system/node/node1/distance");
	on_cpu(1);
	p = map();
	touch(p);
	where("by default", p);
	on_cpu(0);
	p = map();
	touch(p);
	where("by default", p);
	move(p, 4, 1, MPOL_MF_MOVE);
	where("after it", p);
	maps("after it", p);
	for (size_t i = 0; i < PAGES; i++)
		if (p[i * PAGE_SIZE] != (char)i)
			print("page %u has lost its contents\n", i);
	print("strictly on node 1: %d\n", bind_to(p, MPOL_BIND, 2, MPOL_MF_STRICT));
	print("moved there: %d\n", bind_to(p, MPOL_BIND, 2, MPOL_MF_STRICT | MPOL_MF_MOVE));
	maps("bound", p);
	print("all to node 0: %d\n", syscall4(__NR_migrate_pages, 0, 65, &(unsigned long){ 2 }, &(unsigned long){ 1 }));
	maps("bound", p);
	p = map();
	print("by turns: %d\n", bind_to(p, MPOL_INTERLEAVE, 3, 0));
	touch(p);
	maps("by turns", p);
	p = map();
	print("preferred: %d\n", bind_to(p, MPOL_PREFERRED, 2, 0));
	touch(p);
	maps("preferred", p);
	p = map();
	print("relative: %d\n", bind_to(p, MPOL_BIND | MPOL_F_RELATIVE_NODES, 8, 0));
	touch(p);
	maps("relative", p);
	p = map();
	shared(2);
	print("of the task: %d\n", policy(MPOL_BIND, 2));
	touch(p);
	maps("of the task", p);
	p = map();
	print("local: %d\n", policy(MPOL_LOCAL, 0));
	touch(p);
	maps("local", p);
	p = map();
	print("many: %d", bind_to(p, MPOL_BIND, 3, 0));
	print(" %d\n", syscall4(__NR_set_mempolicy_home_node, p, PAGES * PAGE_SIZE, 1, 0));
	touch(p);
	maps("at home on node 1", p);
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	if (argc > 1 && argv[1][0] == 't')
		two();
	else
		one();
	return 0;
}
