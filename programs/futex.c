/*
 * futex: futexes that processes share, those whose word names the owner, and waiting for several. Prints the same on
 * any Linux of 6.7 and newer.
 */
#include "thread.h"
#include "process.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define FUTEX(word, op, value, time, word2, value3) \
	syscall6(__NR_futex, (long)(word), op, value, (long)(time), (long)(word2), value3)
#define PRIVATE 128
#define LOCK_PI 6
#define UNLOCK_PI 7
#define TRYLOCK_PI 8
#define WAITERS 0x80000000u
#define OWNER_DIED 0x40000000u
#define TID 0x3fffffffu
#define U32 2

struct waitv {
	unsigned long value, address;
	unsigned int flags, reserved;
};

static unsigned int *word;
static unsigned int own, alive, go;
static char stack[STACK_SIZE] __attribute__((aligned(16)));

/* A child waits on a page of a file at one address, and is woken by another. */
static void shared(void)
{
	unsigned int *other;
	long fd = syscall2(__NR_memfd_create, "f", 0), pid;

	syscall2(__NR_ftruncate, fd, 8192);
	word = (void *)syscall6(__NR_mmap, 0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	other = (void *)syscall6(__NR_mmap, 0, 4096, PROT_READ, MAP_SHARED, (int)fd, 4096);
	pid = fork_();
	if (pid == 0) {
		while (word[1025] == 0)
			FUTEX(word + 1025, FUTEX_WAIT, 0, 0, 0, 0);
		exit_group(7);
	}
	until_asleep(pid);
	SHOW("private wake", FUTEX(other + 1, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0));
	SHOW("another word", FUTEX(other + 2, FUTEX_WAKE, 1, 0, 0, 0));
	word[1025] = 1;
	SHOW("shared wake", FUTEX(other + 1, FUTEX_WAKE, 1, 0, 0, 0));
	SHOW("child", wait_(pid));

	/* Private memory is another's after fork. */
	pid = fork_();
	if (pid == 0) {
		long time[2] = { 0, 3000000 };

		exit_group((int)-FUTEX(&own, FUTEX_WAIT, 0, time, 0, 0));
	}
	until_asleep(pid);
	SHOW("of private memory", FUTEX(&own, FUTEX_WAKE, 1, 0, 0, 0));
	SHOW("child", wait_(pid) >> 8);

	/* Requeued from one shared futex to another. */
	pid = fork_();
	if (pid == 0)
		exit_group((int)FUTEX(word, FUTEX_WAIT, 0, 0, 0, 0));
	until_asleep(pid);
	SHOW("requeue", FUTEX(word, FUTEX_CMP_REQUEUE, 0, 1, word + 8, 0));
	SHOW("wake", FUTEX(word, FUTEX_WAKE, 1, 0, 0, 0));
	SHOW("wake", FUTEX(word + 8, FUTEX_WAKE, 1, 0, 0, 0));
	SHOW("child", wait_(pid));
}

static void locker(void)
{
	FUTEX(&own, LOCK_PI | PRIVATE, 0, 0, 0, 0);
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	syscall1(__NR_exit, 0);
	__builtin_unreachable();
}

static void tell(const char *what, unsigned int value, long mine)
{
	print("%s:%s%s%s%s\n", what, value & WAITERS ? " waiters" : "", value & OWNER_DIED ? " died" : "",
	      (value & TID) == mine ? " mine" : "", value & TID && (value & TID) != mine ? " another's" : "");
}

static void owned(void)
{
	long me = syscall0(__NR_gettid), pid, past[2] = { 1, 0 };

	SHOW("lock", FUTEX(&own, LOCK_PI, 0, 0, 0, 0));
	tell("word", own, me);
	SHOW("lock again", FUTEX(&own, LOCK_PI, 0, 0, 0, 0));
	SHOW("try again", FUTEX(&own, TRYLOCK_PI, 0, 0, 0, 0));
	SHOW("unlock", FUTEX(&own, UNLOCK_PI, 0, 0, 0, 0));
	tell("word", own, me);
	SHOW("unlock again", FUTEX(&own, UNLOCK_PI, 0, 0, 0, 0));
	own = 0x3ffffffe;
	SHOW("of nobody", FUTEX(&own, LOCK_PI, 0, 0, 0, 0));
	SHOW("odd", FUTEX((char *)&own + 1, LOCK_PI, 0, 0, 0, 0));
	SHOW("nowhere", FUTEX(8, LOCK_PI, 0, 0, 0, 0));
	own = 0;
	SHOW("lock", FUTEX(&own, LOCK_PI | PRIVATE, 0, 0, 0, 0));
	start_thread(stack, &alive, locker);
	while (!(__atomic_load_n(&own, __ATOMIC_SEQ_CST) & WAITERS))
		syscall0(__NR_sched_yield);
	SHOW("unlock", FUTEX(&own, UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
	while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
		syscall0(__NR_sched_yield);
	tell("given", own, me);
	own = 0;

	/* Between processes; and one that dies as the owner. */
	word[0] = 0;
	pid = fork_();
	if (pid == 0) {
		SHOW("child locks", FUTEX(word, LOCK_PI, 0, 0, 0, 0));
		word[1] = 1;
		FUTEX(word + 1, FUTEX_WAKE, 1, 0, 0, 0);
		while (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & WAITERS))
			syscall0(__NR_sched_yield);
		sleep_ms(2);
		SHOW("child unlocks", FUTEX(word, UNLOCK_PI, 0, 0, 0, 0));
		SHOW("child locks again", FUTEX(word, LOCK_PI, 0, 0, 0, 0));
		word[2] = 1;
		FUTEX(word + 2, FUTEX_WAKE, 1, 0, 0, 0);
		sleep_ms(5);
		exit_group(0);
	}
	FUTEX(word + 1, FUTEX_WAIT, 0, 0, 0, 0);
	SHOW("try", FUTEX(word, TRYLOCK_PI, 0, 0, 0, 0));
	SHOW("a time that is past", FUTEX(word, LOCK_PI, 0, past, 0, 0));
	SHOW("lock", FUTEX(word, LOCK_PI, 0, 0, 0, 0));
	tell("word", word[0] & ~WAITERS, me);
	SHOW("unlock", FUTEX(word, UNLOCK_PI, 0, 0, 0, 0));
	FUTEX(word + 2, FUTEX_WAIT, 0, 0, 0, 0);
	SHOW("lock", FUTEX(word, LOCK_PI, 0, 0, 0, 0));
	tell("word", word[0], me);
	wait_(pid);
	SHOW("unlock", FUTEX(word, UNLOCK_PI, 0, 0, 0, 0));
}

static void several(void)
{
	struct waitv waits[2] = { { 0, (unsigned long)word, U32, 0 }, { 0, (unsigned long)(word + 4), U32, 0 } };
	long past[2] = { 0, 1 }, pid;

	word[0] = word[4] = 0;
	SHOW("waitv until past", syscall5(449, waits, 2, 0, past, 1));
	pid = fork_();
	if (pid == 0)
		exit_group((int)syscall5(449, waits, 2, 0, 0, 0));
	until_asleep(pid);
	SHOW("wake", FUTEX(word + 4, FUTEX_WAKE, 1, 0, 0, 0));
	SHOW("index", wait_(pid) >> 8);
	SHOW("wake", FUTEX(word, FUTEX_WAKE, 1, 0, 0, 0));
	word[4] = 5;
	SHOW("another value", syscall5(449, waits, 2, 0, 0, 0));
	SHOW("none", syscall5(449, waits, 0, 0, 0, 0));
	SHOW("too many", syscall5(449, waits, 129, 0, 0, 0));
	SHOW("a flag", syscall5(449, waits, 2, 1, 0, 0));
	SHOW("a clock", syscall5(449, waits, 2, 0, past, 7));
	waits[1].flags = 1;
	SHOW("a size", syscall5(449, waits, 2, 0, 0, 0));
	SHOW("wake none", syscall4(454, word, 1, 0, U32));
	SHOW("wake one", syscall4(454, word, 1, 1, U32));
	SHOW("wake no size", syscall4(454, word, 1, 1, 0));
	SHOW("wait", syscall6(455, (long)word, 1, 1, U32, 0, 1));
	SHOW("wait until past", syscall6(455, (long)word, 0, 1, U32, (long)past, 1));
	SHOW("no bits", syscall6(455, (long)word, 0, 0, U32, 0, 1));
	waits[1].flags = U32;
	SHOW("requeue", syscall4(456, waits, 0, 1, 1));
	waits[0].value = 9;
	SHOW("requeue another", syscall4(456, waits, 0, 1, 1));
}

/* Words in memory that may not be written, or that ends within them: what is answered, and whether a page came with it. */
static void refused(void)
{
	unsigned char there = 2;
	char *p = (char *)syscall6(__NR_mmap, 0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	SHOW("wake and write", FUTEX(&own, FUTEX_WAKE_OP | PRIVATE, 1, 1, p, 1 << 28));
	syscall3(__NR_mincore, p, 4096, &there);
	SHOW("resident", there & 1);
	syscall2(__NR_munmap, p + 4096, 4096);
	SHOW("unlock, over the end", FUTEX(p + 4094, UNLOCK_PI, 0, 0, 0, 0));
	SHOW("unlock, odd", FUTEX(p + 2, UNLOCK_PI, 0, 0, 0, 0));
	SHOW("add", FUTEX(&own, FUTEX_WAKE_OP | PRIVATE, 1, 1, &own, 1 << 28 | 0x7ff << 12));
	SHOW("add, signed", FUTEX(&own, FUTEX_WAKE_OP, 1, 1, &own, 1 << 28 | 0xfff << 12));
	SHOW("xor", FUTEX(&own, FUTEX_WAKE_OP, 1, 1, &own, 4 << 28 | 0xff0 << 12));
	SHOW("the word", own);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	shared();
	owned();
	several();
	refused();
	return 0;
}
