/*
 * counter [THREADS [COUNT]] [device]: threads add to one counter atomically, COUNT times each;
 * with `device`, the main thread keeps making the counter's page exclusive to a device meanwhile.
 * Status 0 when no addition was lost.
 */
#include "dmirror.h"

#define ENOENT 2
#define STACK_SIZE (64 * 1024ul)
#define MAX_THREADS 64

struct shared {
	unsigned long counter;
	unsigned long count;
	unsigned int alive[MAX_THREADS];
};

/* Alone on its page, so that the device takes nothing else. */
static struct shared *shared;

static _Noreturn void worker(void)
{
	for (unsigned long i = 0; i < shared->count; i++)
		__atomic_fetch_add(&shared->counter, 1, __ATOMIC_RELAXED);
	for (;;)
		syscall1(__NR_exit, 0);
}

/* A thread whose stack is its own; the kernel clears `alive` and wakes its waiters at its end. */
static long start_thread(char *stack, unsigned int *alive)
{
	unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			      CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	long tid;

	*alive = 1;
#if defined(__riscv)
	/* The child has no frame of ours on its stack, so it must not return from here. */
	register long a0 __asm__("a0") = (long)flags;
	register long a1 __asm__("a1") = (long)(stack + STACK_SIZE);
	register long a2 __asm__("a2") = 0;
	register long a3 __asm__("a3") = 0;
	register long a4 __asm__("a4") = (long)alive;
	register long a7 __asm__("a7") = __NR_clone;
	__asm__ volatile("ecall\n"
			 "bnez a0, 1f\n"
			 "jr %[worker]\n"
			 "1:"
			 : "+r"(a0)
			 : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7), [worker] "r"(worker)
			 : "memory");
	tid = a0;
#elif defined(__x86_64__)
	register long r10 __asm__("r10") = (long)alive;
	register long r8 __asm__("r8") = 0;
	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "call *%[worker]\n"
			 "1:"
			 : "=a"(tid)
			 : "a"(__NR_clone), "D"(flags), "S"(stack + STACK_SIZE), "d"(0), "r"(r10),
			   "r"(r8), [worker] "b"(worker)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)(stack + STACK_SIZE);
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = (long)alive;
	register long x8 __asm__("x8") = __NR_clone;
	__asm__ volatile("svc #0\n"
			 "cbnz x0, 1f\n"
			 "br %[worker]\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x8), [worker] "r"(worker)
			 : "memory");
	tid = x0;
#endif
	return tid;
}

static int anybody_alive(unsigned long threads)
{
	for (unsigned long i = 0; i < threads; i++)
		if (__atomic_load_n(&shared->alive[i], __ATOMIC_ACQUIRE) != 0)
			return 1;
	return 0;
}

int main(int argc, char **argv, char **envp)
{
	int device = argc > 1 && string_equal(argv[argc - 1], "device");
	int numbers = argc - 1 - device;
	unsigned long threads = parse_number(numbers > 0 ? argv[1] : NULL, 4);
	unsigned long count = parse_number(numbers > 1 ? argv[2] : NULL, 100000);
	unsigned long taken = 0;

	(void)envp;
	if (threads > MAX_THREADS)
		threads = MAX_THREADS;
	shared = map_anonymous(PAGE_SIZE);
	shared->count = count;
	char *stacks = map_anonymous(threads * STACK_SIZE);

	for (unsigned long i = 0; i < threads; i++) {
		long tid = start_thread(stacks + i * STACK_SIZE, &shared->alive[i]);

		if (tid < 0)
			fail("clone", tid);
	}
	if (device) {
		int fd = sys_open("/dev/hmm_dmirror1", O_RDWR);
		char *mirror = map_anonymous(PAGE_SIZE);

		if (fd < 0)
			fail("open /dev/hmm_dmirror1", fd);
		while (anybody_alive(threads)) {
			long pages = dmirror(fd, HMM_DMIRROR_EXCLUSIVE, shared, mirror, 1);

			/* ENOENT: a CPU took the page back before the device had read it. */
			if (pages < 0 && pages != -ENOENT)
				fail("EXCLUSIVE", pages);
			taken++;
		}
	}
	for (unsigned long i = 0; i < threads; i++)
		while (__atomic_load_n(&shared->alive[i], __ATOMIC_ACQUIRE) != 0)
			syscall4(__NR_futex, &shared->alive[i], FUTEX_WAIT, 1, NULL);

	print("%u threads, %u additions each: %u\n", threads, count, shared->counter);
	if (device)
		print(taken > 0 ? "the device took the page meanwhile\n" : "the device never got the page\n");
	return shared->counter == threads * count ? 0 : 1;
}
