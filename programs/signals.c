/*
 * signals: every way in which a signal reaches a program, and what the kernel says of it. Prints
 * the same on any Linux; ends by a signal that nobody handles.
 */
#include "start.h"

#define SIGINFO_CODE(info) (((int *)(info))[2])
#define SIGINFO_ADDR(info) (((unsigned long *)(info))[2])
#define EINTR_LINE(what, result) print("%s: %s\n", what, (result) == -4 ? "EINTR" : (result) == -11 ? "EAGAIN" : "other")

struct action {
	void (*handler)(int, void *, void *);
	unsigned long flags;
#if defined(__x86_64__)
	void (*restorer)(void);
#endif
	uint64_t mask;
};

#if defined(__x86_64__)
#define SA_RESTORER_FLAG 0x04000000ul
__asm__(".text\nrestore:\n\tmov $15, %eax\n\tsyscall\n");
void restore(void);
#endif

struct timespec64 {
	long sec, nsec;
};

static volatile int got, code, on_alt_stack, rounds;
static unsigned long where;
static unsigned int word;
static char *page;
static char alt_stack[32768];

static void on(int signal, void (*handler)(int, void *, void *), unsigned long flags)
{
	struct action action = { .handler = handler, .flags = flags | SA_SIGINFO };

#if defined(__x86_64__)
	action.flags |= SA_RESTORER_FLAG;
	action.restorer = restore;
#endif
	long error = syscall4(__NR_rt_sigaction, signal, &action, NULL, 8);

	if (error != 0)
		fail("rt_sigaction", error);
}

static void note(int signal, void *info, void *context)
{
	char here;

	(void)context;
	got = signal;
	code = SIGINFO_CODE(info);
	on_alt_stack = &here > alt_stack && &here < alt_stack + sizeof(alt_stack);
}

/* Repairs what was wrong with `page`, so that the instruction succeeds when it is repeated. */
static void repair(int signal, void *info, void *context)
{
	note(signal, info, context);
	where = SIGINFO_ADDR(info) - (unsigned long)page;
	if (code == 1)
		syscall6(__NR_mmap, (long)page, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	else
		syscall3(__NR_mprotect, page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	print("fault %d at page + %u, code %d\n", signal, where, code);
}

/* Uses floating-point registers, to see that they are given back. */
static void halve(int signal, void *info, void *context)
{
	volatile double x = 1;

	for (int i = 0; i < 20; i++)
		x = x / 2 + i;
	note(signal, info, context);
	if (++rounds == 2)
		__atomic_store_n(&word, 1, __ATOMIC_RELAXED);
}

static void alarm_after(long first_us, long interval_us)
{
	long timer[4] = { 0, interval_us, 0, first_us };

	syscall3(__NR_setitimer, 0, timer, NULL);
}

int main(int argc, char **argv, char **envp)
{
	struct timespec64 time = { 5, 0 }, left = { 0, 0 };
	uint64_t usr1 = 1ul << (SIGUSR1 - 1), set = 0;
	long self = syscall0(__NR_getpid), result;
	double sum = 0;
	long steps = 0;

	(void)argc, (void)argv, (void)envp;

	/* Faults, repaired one after the other. */
	on(SIGSEGV, repair, 0);
	page = map_anonymous(PAGE_SIZE);
	syscall2(__NR_munmap, page, PAGE_SIZE);
	*(volatile char *)(page + 5) = 42;
	print("written: %d\n", (long)page[5]);

	/* A handler in the middle of a computation leaves no trace in it. */
	on(SIGALRM, halve, 0);
	alarm_after(2000, 0);
	while (got != SIGALRM || steps < 100000) {
		sum += 0.5;
		steps++;
	}
	print("%s\n", sum == 0.5 * (double)steps ? "sums agree" : "sums differ");

	/* Sleeps that end early. */
	alarm_after(20000, 0);
	result = syscall2(__NR_nanosleep, &time, &left);
	EINTR_LINE("nanosleep", result);
	print("left: %d s\n", left.sec);
	alarm_after(1000, 0);
	result = syscall4(__NR_rt_sigsuspend, &set, 8, 0, 0);
	EINTR_LINE("sigsuspend", result);
	word = 0;
	alarm_after(1000, 0);
	result = syscall4(__NR_futex, &word, FUTEX_WAIT, 0, NULL);
	EINTR_LINE("futex", result);

	/* With SA_RESTART a wait goes on, until the second round has changed the word. */
	on(SIGALRM, halve, SA_RESTART);
	rounds = 0;
	word = 0;
	alarm_after(1000, 1000);
	result = syscall4(__NR_futex, &word, FUTEX_WAIT, 0, NULL);
	alarm_after(0, 0);
	EINTR_LINE("futex again", result);
	print("rounds: %d\n", (long)rounds);

	/* Another stack; senders. */
	struct {
		void *sp;
		int flags;
		unsigned long size;
	} stack = { alt_stack, 0, sizeof(alt_stack) }, old;

	on(SIGUSR1, note, SA_ONSTACK);
	syscall2(__NR_sigaltstack, &stack, NULL);
	syscall2(__NR_kill, self, SIGUSR1);
	print("signal %d, code %d, alternate stack %d\n", (long)got, (long)code, (long)on_alt_stack);
	on(SIGUSR1, note, 0);
	syscall2(__NR_tkill, self, SIGUSR1);
	print("signal %d, code %d, alternate stack %d\n", (long)got, (long)code, (long)on_alt_stack);
	syscall2(__NR_sigaltstack, NULL, &old);
	print("alternate stack of %u bytes, flags %d\n", old.size, (long)old.flags);

	/* Blocked, pending, taken, delivered. */
	got = 0;
	syscall4(__NR_rt_sigprocmask, SIG_BLOCK, &usr1, NULL, 8);
	syscall2(__NR_kill, self, SIGUSR1);
	syscall2(__NR_kill, self, SIGUSR1);
	syscall2(__NR_rt_sigpending, &set, 8);
	print("blocked: got %d, pending %x\n", (long)got, set);
	time = (struct timespec64){ 0, 1000 };
	print("taken: %d\n", syscall4(__NR_rt_sigtimedwait, &usr1, NULL, &time, 8));
	EINTR_LINE("taken again", syscall4(__NR_rt_sigtimedwait, &usr1, NULL, &time, 8));
	syscall2(__NR_kill, self, SIGUSR1);
	syscall4(__NR_rt_sigprocmask, SIG_UNBLOCK, &usr1, NULL, 8);
	print("unblocked: got %d\n", (long)got);

	/* Refusals. */
	print("%d %d %d %d\n", syscall2(__NR_kill, self, 65), syscall2(__NR_kill, 99999999, 0), syscall2(__NR_kill, self, 0),
	      syscall4(__NR_rt_sigaction, SIGKILL, &stack, NULL, 8));

	/* Ignored by choice, ignored by nature, and the end. */
	struct action ignore = { .handler = (void (*)(int, void *, void *))1 };

	syscall4(__NR_rt_sigaction, SIGTERM, &ignore, NULL, 8);
	syscall2(__NR_kill, self, SIGTERM);
	syscall2(__NR_kill, self, SIGCHLD);
	print("still here\n");
	ignore.handler = 0;
	syscall4(__NR_rt_sigaction, SIGTERM, &ignore, NULL, 8);
	syscall2(__NR_kill, self, SIGTERM);
	print("not reached\n");
	return 0;
}
