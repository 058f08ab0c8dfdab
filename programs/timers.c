/*
 * timers: what fires when, what is told of it, and sleeps that signals interrupt. Prints the same on
 * any Linux that is not too busy.
 */
#include "start.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define MS 1000000l

struct info {
	int signo, error, code, pad;
	int pid, overrun;
	long value;
	int rest[24];
};

struct spec {
	long interval[2], value[2];
};

struct event {
	long value;
	int signo, notify, thread;
	int rest[11];
};

struct action {
	void *handler;
	unsigned long flags;
#if defined(__x86_64__)
	void *restorer;
#endif
	unsigned long mask;
};

static long now_ms(void)
{
	long time[2];

	syscall2(__NR_clock_gettime, 1, time);
	return time[0] * 1000 + time[1] / MS;
}

static void spin_ms(long ms)
{
	long time[2];

	do {
		syscall2(__NR_clock_gettime, 2, time);
	} while (time[0] * 1000 + time[1] / MS < ms);
}

static void block(int signo)
{
	unsigned long set = 1ul << (signo - 1);

	syscall4(__NR_rt_sigprocmask, 0, &set, NULL, 8);
}

/* Waits for a signal that is blocked. */
static void take(const char *what, int signo, long ms)
{
	unsigned long set = 1ul << (signo - 1);
	long timeout[2] = { ms / 1000, ms % 1000 * MS };
	struct info info = { .code = -99 };
	long got = syscall4(__NR_rt_sigtimedwait, &set, &info, timeout, 8);

	print("%s: %d, code %d\n", what, got, (long)info.code);
}

static void intervals(void)
{
	struct spec spec = { { 0, 0 }, { 0, 20000 } }, old = { { 9, 9 }, { 9, 9 } };
	long start;

	block(14);
	block(26);
	block(27);
	SHOW("real", syscall3(__NR_setitimer, 0, &spec, &old));
	print("before: %d %d %d %d\n", old.interval[0], old.interval[1], old.value[0], old.value[1]);
	SHOW("get", syscall2(__NR_getitimer, 0, &old));
	SHOW("less is left", old.value[0] == 0 && old.value[1] > 0 && old.value[1] <= 20000);
	start = now_ms();
	take("real", 14, 1000);
	SHOW("in time", now_ms() - start >= 18 && now_ms() - start < 60);
	SHOW("get", syscall2(__NR_getitimer, 0, &old));
	print("once: %d %d %d %d\n", old.interval[0], old.interval[1], old.value[0], old.value[1]);
	spec.interval[1] = 5000;
	syscall3(__NR_setitimer, 0, &spec, NULL);
	for (int i = 0; i < 3; i++)
		take("again", 14, 1000);
	spec.value[1] = spec.interval[1] = 0;
	syscall3(__NR_setitimer, 0, &spec, &old);
	SHOW("its interval", old.interval[1]);
	take("no more", 14, 20);
	SHOW("no such timer", syscall3(__NR_setitimer, 3, &spec, NULL));
	spec.value[1] = 1000000;
	SHOW("no time", syscall3(__NR_setitimer, 0, &spec, NULL));
	SHOW("null disarms", syscall3(__NR_setitimer, 0, NULL, NULL));

	spec.value[1] = 10000;
	SHOW("virtual", syscall3(__NR_setitimer, 1, &spec, NULL));
	SHOW("profiling", syscall3(__NR_setitimer, 2, &spec, NULL));
	take("asleep", 26, 30);
	spin_ms(80);
	take("profiling", 27, 0);
	for (volatile long i = 0; i < 60000000; i++)
		;
	take("virtual", 26, 0);
	SHOW("get", syscall2(__NR_getitimer, 1, &old));
	SHOW("once", old.value[0] + old.value[1]);
}

static void made(void)
{
	struct spec spec = { { 0, 0 }, { 0, 10 * MS } }, old;
	struct event event = { .value = 0x123456789, .signo = 40, .notify = 0 };
	unsigned long set = 1ul << 39;
	long timeout[2] = { 1, 0 };
	struct info info;
	int id = -1, other = -1;

	block(40);
	SHOW("create", syscall3(__NR_timer_create, 1, &event, &id));
	SHOW("not set", syscall2(__NR_timer_gettime, id, &old));
	SHOW("nothing left", old.value[0] + old.value[1]);
	SHOW("set", syscall4(__NR_timer_settime, id, 0, &spec, &old));
	SHOW("wait", syscall4(__NR_rt_sigtimedwait, &set, &info, timeout, 8));
	print("code %d, value %x, its id %d, overrun %d\n", (long)info.code, info.value, info.pid == id, (long)info.overrun);
	spec.interval[1] = 2 * MS;
	syscall4(__NR_timer_settime, id, 0, &spec, NULL);
	long nap[2] = { 0, 40 * MS };

	syscall2(__NR_nanosleep, nap, NULL);
	syscall4(__NR_rt_sigtimedwait, &set, &info, timeout, 8);
	SHOW("overruns told", syscall1(__NR_timer_getoverrun, id) == info.overrun);
	SHOW("delete", syscall1(__NR_timer_delete, id));
	SHOW("twice", syscall1(__NR_timer_delete, id));
	event.notify = 1;
	SHOW("silent", syscall3(__NR_timer_create, 0, &event, &other));
	SHOW("another id", other != id);
	syscall2(__NR_clock_gettime, 0, spec.value);
	spec.value[0] += 100;
	spec.interval[1] = 0;
	SHOW("until", syscall4(__NR_timer_settime, other, 1, &spec, NULL));
	syscall2(__NR_timer_gettime, other, &old);
	SHOW("about a hundred", old.value[0] == 99 || old.value[0] == 100);
	spec.value[0] = 1;
	SHOW("long ago", syscall4(__NR_timer_settime, other, 1, &spec, NULL));
	syscall2(__NR_nanosleep, nap, NULL);
	syscall2(__NR_timer_gettime, other, &old);
	SHOW("over", old.value[0] + old.value[1]);
	event.notify = 9;
	SHOW("unknown notice", syscall3(__NR_timer_create, 0, &event, &other));
	event.notify = 4;
	event.thread = 1;
	SHOW("another's thread", syscall3(__NR_timer_create, 0, &event, &other));
	event.thread = (int)syscall0(__NR_gettid);
	SHOW("this thread", syscall3(__NR_timer_create, 0, &event, &other));
	event.signo = 65;
	SHOW("no signal", syscall3(__NR_timer_create, 0, &event, &other));
	SHOW("no clock", syscall3(__NR_timer_create, 77, NULL, &other));
}

/* An interval begins again when its signal is taken, and what was missed is told then. */
static void missed(void)
{
	struct spec spec = { { 0, MS }, { 0, MS } }, old;
	struct event event = { .signo = 41, .notify = 0 };
	unsigned long set = 1ul << 40;
	long nap[2] = { 0, 30 * MS }, timeout[2] = { 0, 0 };
	struct action ignore = { .handler = (void *)1 }, caught = { .handler = NULL };
	struct info info;
	int id = -1;

	block(41);
	syscall3(__NR_timer_create, 1, &event, &id);
	syscall4(__NR_timer_settime, id, 0, &spec, NULL);
	syscall2(__NR_nanosleep, nap, NULL);
	SHOW("taken", syscall4(__NR_rt_sigtimedwait, &set, &info, timeout, 8));
	SHOW("told at once", info.overrun >= 28);
	SHOW("the same", syscall1(__NR_timer_getoverrun, id) == info.overrun);
	/* As short as can be. */
	spec.interval[1] = 1;
	syscall4(__NR_timer_settime, id, 0, &spec, NULL);
	syscall2(__NR_nanosleep, nap, NULL);
	syscall2(__NR_timer_gettime, id, &old);
	SHOW("soon", old.value[0] == 0 && old.value[1] <= 1);
	SHOW("taken", syscall4(__NR_rt_sigtimedwait, &set, &info, timeout, 8));
	SHOW("millions", info.overrun >= 28 * MS);
	SHOW("ignored", syscall4(__NR_rt_sigaction, 41, &ignore, NULL, 8));
	syscall2(__NR_nanosleep, nap, NULL);
	SHOW("none", syscall4(__NR_rt_sigtimedwait, &set, &info, timeout, 8));
	SHOW("not ignored", syscall4(__NR_rt_sigaction, 41, &caught, NULL, 8));
	SHOW("taken", syscall4(__NR_rt_sigtimedwait, &set, &info, timeout, 8));
	syscall1(__NR_timer_delete, id);
	/* One that tells nobody. */
	event.notify = 1;
	syscall3(__NR_timer_create, 1, &event, &id);
	syscall4(__NR_timer_settime, id, 0, &spec, NULL);
	syscall2(__NR_nanosleep, nap, NULL);
	syscall2(__NR_timer_gettime, id, &old);
	SHOW("goes on", old.value[1] == 1 && old.interval[1] == 1);
	spec.value[0] = spec.value[1] = 0;
	syscall4(__NR_timer_settime, id, 0, &spec, NULL);
	syscall2(__NR_timer_gettime, id, &old);
	SHOW("no interval", old.interval[1]);
	syscall1(__NR_timer_delete, id);
}

/* How many signals may be pending. */
static void pending(void)
{
	unsigned long set = 1ul << 41 | 1ul << 42, limit[2];
	long timeout[2] = { 0, 0 };
	struct event event = { .signo = 42, .notify = 0 };
	struct info info = { .signo = 42, .code = -1 };
	long self = syscall0(__NR_getpid), taken = 0;
	int id;

	block(42);
	block(43);
	syscall4(__NR_prlimit64, 0, 11, NULL, limit);
	limit[0] = 0;
	syscall4(__NR_prlimit64, 0, 11, limit, NULL);
	SHOW("none", syscall3(__NR_rt_sigqueueinfo, self, 42, &info));
	SHOW("no timer", syscall3(__NR_timer_create, 1, &event, &id));
	/* Without its details, and once. */
	SHOW("by kill", syscall2(__NR_kill, self, 42));
	SHOW("again", syscall2(__NR_kill, self, 42));
	SHOW("by tkill", syscall2(__NR_tkill, self, 42));
	while (syscall4(__NR_rt_sigtimedwait, &set, &info, timeout, 8) == 42)
		taken++;
	SHOW("taken", taken);
	SHOW("its code", info.code);
}

static void sleeps(void)
{
	long time[2] = { 0, 10 * MS }, left[2] = { -1, -1 }, start = now_ms();

	SHOW("nanosleep", syscall2(__NR_nanosleep, time, left));
	SHOW("in time", now_ms() - start >= 10 && now_ms() - start < 60);
	SHOW("left alone", left[0]);
	static const int clocks[] = { 0, 1, 3, 4, 5, 6, 7, 77 };

	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
		print("clock %d: %d\n", (long)clocks[i], syscall4(__NR_clock_nanosleep, clocks[i], 0, time, NULL));
	time[0] = 1;
	SHOW("a past time", syscall4(__NR_clock_nanosleep, 0, 1, time, NULL));
	time[1] = 1000 * MS;
	SHOW("no time", syscall4(__NR_clock_nanosleep, 1, 0, time, NULL));
	time[0] = -1;
	time[1] = 0;
	SHOW("negative", syscall4(__NR_clock_nanosleep, 1, 0, time, NULL));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	intervals();
	made();
	missed();
	pending();
	sleeps();
	return 0;
}
