/*
 * userfaultfd(2) with a thread that answers: faults of programs and of the kernel, several threads on one
 * page, waits that end otherwise, events of a process that changes its address space, huge pages.
 * Prints what the monitor was told and what came of it; the same on any Linux since 6.18.
 */
#include <linux/futex.h>
#include "thread.h"
#include "uffd.h"

#define PROT_RW (PROT_READ | PROT_WRITE)
#define PAGES 64ul
#define EVENT_FORK (1ul << 1)
#define EVENT_REMAP (1ul << 2)
#define EVENT_REMOVE (1ul << 3)
#define EVENT_UNMAP (1ul << 6)
#define SIGBUS_FEATURE (1ul << 7)
#define THREAD_ID (1ul << 8)
#define EXACT (1ul << 11)
#define UNPOPULATED (1ul << 13)

static char *arena;
static char *source;
/* What areas are: private, or shared; and whether there is something in the file that is not mapped. */
static int map_kind = MAP_PRIVATE;
static int filled;

/* What the monitor does with a fault on an empty entry. */
enum answer { COPY, COPY_PROTECTED, ZERO, POISON, MOVE, UNREGISTER };

static struct monitor {
	unsigned int alive;
	int fd;
	enum answer answer;
	struct uffd_msg log[64];
	int count;
	/* A fault here ends the monitor. */
	char *stop;
	long error;
} monitor;

static char *at(size_t page)
{
	return arena + page * PAGE_SIZE;
}

static void map(size_t page, size_t pages, int prot)
{
	long p = syscall6(__NR_mmap, (long)at(page), (long)(pages * PAGE_SIZE), prot,
			  map_kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p != (long)at(page))
		fail("mmap", p);
}

static long answer(int fd, enum answer how, unsigned long address, unsigned long flags)
{
	char *page = (char *)(address & -PAGE_SIZE);

	if ((flags & UFFD_PAGEFAULT_FLAG_WP) != 0)
		return uffd_writeprotect(fd, page, PAGE_SIZE, 0);
	if ((flags & UFFD_PAGEFAULT_FLAG_MINOR) != 0)
		return uffd_continue(fd, page, PAGE_SIZE, how == COPY_PROTECTED ? 2 : 0);
	switch (how) {
	case COPY:
		return uffd_copy(fd, page, source, PAGE_SIZE, 0);
	case COPY_PROTECTED:
		return uffd_copy(fd, page, source, PAGE_SIZE, 2);
	case ZERO:
		return uffd_zeropage(fd, page, PAGE_SIZE, 0);
	case POISON:
		return uffd_poison(fd, page, PAGE_SIZE, 0);
	case MOVE:
		*(volatile char *)at(40) = 'm';
		return uffd_move(fd, page, at(40), PAGE_SIZE, 0);
	default:
		return uffd_unregister(fd, at(0), 32 * PAGE_SIZE);
	}
}

static _Noreturn void thread_end(void)
{
	for (;;)
		syscall1(__NR_exit, 0);
}

static void begin_thread(unsigned int *alive, void (*worker)(void))
{
	long tid = start_thread(map_anonymous(STACK_SIZE), alive, worker);

	if (tid < 0)
		fail("clone", tid);
}

static void join(unsigned int *alive)
{
	while (__atomic_load_n(alive, __ATOMIC_ACQUIRE) != 0)
		syscall4(__NR_futex, alive, FUTEX_WAIT, 1, NULL);
}

static void watch(void)
{
	struct monitor *m = &monitor;

	for (;;) {
		struct uffd_msg *msg = &m->log[m->count];
		long got = uffd_read(m->fd, msg);

		if (got < 0) {
			m->error = got;
			thread_end();
		}
		if (msg->event != UFFD_EVENT_PAGEFAULT) {
			__atomic_store_n(&m->count, m->count + 1, __ATOMIC_RELEASE);
			continue;
		}
		if ((char *)msg->arg.pagefault.address == m->stop) {
			uffd_zeropage(m->fd, m->stop, PAGE_SIZE, 0);
			thread_end();
		}
		m->count++;
		m->error = answer(m->fd, m->answer, msg->arg.pagefault.address,
				  msg->arg.pagefault.flags);
	}
}

static void begin(unsigned long features, unsigned long mode, enum answer how)
{
	long error;

	map(0, 32, PROT_RW);
	map(62, 1, PROT_RW);
	if (filled) {
		memset(at(0), 'f', 8 * PAGE_SIZE);
		syscall3(__NR_madvise, at(0), 8 * PAGE_SIZE, 4);
	}
	monitor.fd = uffd_open(0, features);
	monitor.answer = how;
	monitor.count = 0;
	monitor.error = 0;
	monitor.stop = at(62);
	error = uffd_register(monitor.fd, at(0), 32 * PAGE_SIZE, mode, NULL);
	if (error == 0)
		error = uffd_register(monitor.fd, at(62), PAGE_SIZE, MISSING, NULL);
	if (error != 0)
		fail("register", error);
	begin_thread(&monitor.alive, watch);
}

static void place(const char *what, unsigned long address)
{
	if (address >= (unsigned long)arena && address <= (unsigned long)at(PAGES)) {
		print(" %s %u", what, (address - (unsigned long)arena) / PAGE_SIZE);
		if (address % PAGE_SIZE != 0)
			print("+%u", address % PAGE_SIZE);
	} else
		print(" %s elsewhere", what);
}

static void end(const char *what, long tid)
{
	(void)*(volatile char *)monitor.stop;
	join(&monitor.alive);
	print("%s: %d messages, error %d\n", what, (long)monitor.count, monitor.error);
	for (int i = 0; i < monitor.count; i++) {
		struct uffd_msg *msg = &monitor.log[i];

		switch (msg->event) {
		case UFFD_EVENT_PAGEFAULT:
			print("  fault, flags %x,", (unsigned long)msg->arg.pagefault.flags);
			place("page", msg->arg.pagefault.address);
			print("%s\n", msg->arg.pagefault.feat.ptid == 0 ? "" : (long)msg->arg.pagefault.feat.ptid == tid ? ", by the thread" : ", by another");
			break;
		case UFFD_EVENT_FORK:
			print("  fork, %s\n", (int)msg->arg.fork.ufd > monitor.fd ? "a descriptor" : "no descriptor");
			break;
		case UFFD_EVENT_REMAP:
			print("  remap,");
			place("from", msg->arg.remap.from);
			place("to", msg->arg.remap.to);
			print(" length %u\n", (unsigned long)msg->arg.remap.len / PAGE_SIZE);
			break;
		case UFFD_EVENT_REMOVE:
		case UFFD_EVENT_UNMAP:
			print(msg->event == UFFD_EVENT_UNMAP ? "  unmap," : "  remove,");
			place("from", msg->arg.remove.start);
			place("to", msg->arg.remove.end);
			print("\n");
			break;
		default:
			print("  event %x\n", (unsigned long)msg->event);
		}
	}
	syscall1(__NR_close, monitor.fd);
	syscall2(__NR_munmap, at(0), PAGES * PAGE_SIZE);
}

static long my_tid(void)
{
	return syscall0(__NR_gettid);
}

static void faults(void)
{
	static const char *const names[] = { "copied", "copied, protected", "zeros", "poison", "moved", "unregistered" };
	volatile char *p;

	for (enum answer how = COPY; how <= UNREGISTER; how++) {
		if (how == POISON)
			continue;
		map(40, 1, PROT_RW);
		begin(EXACT | THREAD_ID, MISSING | WP, how);
		p = at(1) + 17;
		print("read %d, ", (long)*p);
		p = at(2) + 3000;
		*p = 5;
		print("written %d, then %d and %d\n", (long)*p, (long)p[1], (long)at(2)[0]);
		*(volatile char *)at(1) = 6;
		end(names[how], my_tid());
	}
	begin(0, WP, COPY);
	for (int i = 0; i < 4; i++)
		*(volatile char *)at(i) = (char)i;
	print("protect: %d\n", uffd_writeprotect(monitor.fd, at(0), 3 * PAGE_SIZE, 1));
	for (int i = 0; i < 4; i++)
		print("read %d ", (long)*(volatile char *)at(i));
	for (int i = 0; i < 4; i++)
		*(volatile char *)(at(i) + 5) = 9;
	print("written\n");
	end("protected", 0);
	begin(UNPOPULATED, WP | MISSING, COPY_PROTECTED);
	print("protect: %d\n", uffd_writeprotect(monitor.fd, at(0), 3 * PAGE_SIZE, 1));
	*(volatile char *)at(0) = 1;
	print("read %d\n", (long)*(volatile char *)at(1));
	*(volatile char *)at(1) = 1;
	end("markers", 0);
}

static void shared(void)
{
	map_kind = MAP_SHARED;
	for (enum answer how = COPY; how <= ZERO; how++) {
		begin(EXACT, MISSING | WP, how);
		print("read %d, ", (long)*(volatile char *)(at(1) + 17));
		*(volatile char *)(at(2) + 3000) = 5;
		print("written, then %d\n", (long)*(volatile char *)at(2));
		*(volatile char *)at(1) = 6;
		end("shared", 0);
	}
	filled = 1;
	for (enum answer how = COPY; how <= COPY_PROTECTED; how++) {
		begin(EXACT, UFFDIO_REGISTER_MODE_MINOR | MISSING | WP, how);
		print("read %d, ", (long)*(volatile char *)(at(1) + 17));
		*(volatile char *)(at(2) + 3000) = 5;
		print("written, then %d, ", (long)*(volatile char *)at(2));
		print("missing %d\n", (long)*(volatile char *)at(9));
		*(volatile char *)at(1) = 6;
		end("minor", 0);
	}
	begin(EVENT_REMOVE, MISSING, COPY);
	print("remove: %d\n", syscall3(__NR_madvise, at(1), 2 * PAGE_SIZE, 9));
	print("dontneed: %d\n", syscall3(__NR_madvise, at(4), PAGE_SIZE, 4));
	print("read %d", (long)*(volatile char *)at(1));
	print(" %d\n", (long)*(volatile char *)at(4));
	end("holes", 0);
	map_kind = MAP_PRIVATE;
	filled = 0;
}

static void kernel_faults(void)
{
	int zero = sys_open("/dev/zero", O_RDONLY);
	int ends[2];

	syscall2(__NR_pipe2, ends, 0);
	begin(0, MISSING | WP, COPY);
	print("read across pages: %d\n", syscall3(__NR_read, zero, at(1) + 4000, 200));
	print("then %d %d %d\n", (long)at(1)[3999], (long)at(1)[4000], (long)at(2)[200]);
	print("write from pages: %d\n", syscall3(__NR_write, ends[1], at(3) + 4090, 10));
	uffd_writeprotect(monitor.fd, at(3), PAGE_SIZE, 1);
	print("read onto protection: %d\n", syscall3(__NR_read, zero, at(3), 1));
	print("populate: %d\n", syscall3(__NR_madvise, at(6), 2 * PAGE_SIZE, 23));
	print("populate for reading: %d\n", syscall3(__NR_madvise, at(8), PAGE_SIZE, 22));
	end("kernel", 0);

	/* Nobody is asked. */
	map(0, 4, PROT_RW);
	monitor.fd = uffd_open(0, SIGBUS_FEATURE);
	uffd_register(monitor.fd, at(0), 4 * PAGE_SIZE, MISSING, NULL);
	print("read with SIGBUS: %d\n", syscall3(__NR_read, zero, at(0), 1));
	print("populate: %d\n", syscall3(__NR_madvise, at(2), PAGE_SIZE, 23));
	syscall1(__NR_close, monitor.fd);
	/* The kernel's faults are not for it. */
	monitor.fd = uffd_open(1, 0);
	map(0, 4, PROT_RW);
	uffd_register(monitor.fd, at(0), 4 * PAGE_SIZE, MISSING, NULL);
	print("read of the kernel: %d\n", syscall3(__NR_read, zero, at(0), 1));
	syscall1(__NR_close, monitor.fd);
	syscall2(__NR_munmap, at(0), 4 * PAGE_SIZE);
	for (int i = 0; i < 2; i++)
		syscall1(__NR_close, ends[i]);
	syscall1(__NR_close, zero);
}

/* Threads that all read one byte. */
static char seen[3];
static int lookers;

static void look(void)
{
	int i = __atomic_fetch_add(&lookers, 1, __ATOMIC_RELAXED);

	seen[i] = *(volatile char *)at(5);
	thread_end();
}

static void threads(void)
{
	static unsigned int alive[3];
	struct uffd_msg msg;
	struct { int fd; short events, revents; } poll = { 0, 1, 0 };

	begin(0, MISSING, COPY);
	for (int i = 0; i < 3; i++)
		begin_thread(&alive[i], look);
	for (int i = 0; i < 3; i++)
		join(&alive[i]);
	print("three threads: %d %d %d\n", (long)seen[0], (long)seen[1], (long)seen[2]);
	monitor.log[0] = monitor.log[monitor.count > 0 ? monitor.count - 1 : 0];
	monitor.count = 1;
	monitor.error = 0;
	end("one page", 0);

	/* The waits end by closing, by unregistering, and by waking where nothing was filled in. */
	for (int how = 0; how < 4; how++) {
		int fd = uffd_open(O_NONBLOCK, 0);
		long got;

		map(0, 8, PROT_RW);
		uffd_register(fd, at(0), 8 * PAGE_SIZE, MISSING, NULL);
		seen[0] = 98;
		lookers = 0;
		begin_thread(&alive[0], look);
		poll.fd = fd;
		poll.revents = 0;
		print("poll %d, ", syscall6(__NR_ppoll, (long)&poll, 1, 0, 0, 0, 0));
		print("events %d, ", (long)poll.revents);
		got = how == 1 ? 0 : uffd_read(fd, &msg);
		print("read %d, waits: %d\n", got, (long)(seen[0] == 98));
		if (how == 2)
			print("unregister: %d\n", uffd_unregister(fd, at(0), 8 * PAGE_SIZE));
		if (how == 3) {
			print("read again: %d\n", uffd_read(fd, &msg));
			print("wake elsewhere: %d\n", uffd_wake(fd, at(6), PAGE_SIZE));
			print("wake: %d\n", uffd_wake(fd, at(5), PAGE_SIZE));
			poll.revents = 0;
			print("poll %d, ", syscall6(__NR_ppoll, (long)&poll, 1, 0, 0, 0, 0));
			print("read %d\n", uffd_read(fd, &msg));
			print("copy: %d\n", uffd_copy(fd, at(5), source, PAGE_SIZE, 1));
			print("waits: %d\n", (long)(seen[0] == 98));
			print("wake: %d\n", uffd_wake(fd, at(0), 8 * PAGE_SIZE));
		}
		syscall1(__NR_close, fd);
		join(&alive[0]);
		print("has %d\n", (long)seen[0]);
		syscall2(__NR_munmap, at(0), 8 * PAGE_SIZE);
	}
}

static long wait_for(long pid)
{
	int status = 0;

	syscall4(__NR_wait4, pid, &status, 0, NULL);
	return status;
}

static long fork(void)
{
	return syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

/* Children that die while they wait, or of what they touch. */
static void deaths(void)
{
	static const char *const names[] = { "killed", "by a timer", "SIGBUS feature", "poison", "write to protection with SIGBUS" };

	for (int how = 0; how < 5; how++) {
		int ends[2];
		char byte;
		long pid;

		syscall2(__NR_pipe2, ends, 0);
		pid = fork();
		if (pid == 0) {
			const long timer[4] = { 0, 0, 0, 20000 };
			int fd = uffd_open(0, how == 2 || how == 4 ? SIGBUS_FEATURE : 0);

			map(0, 4, PROT_RW);
			*(volatile char *)at(3) = 1;
			uffd_register(fd, at(0), 4 * PAGE_SIZE, MISSING | WP, NULL);
			if (how == 1)
				syscall3(__NR_setitimer, 0, timer, NULL);
			if (how == 3)
				uffd_poison(fd, at(0), PAGE_SIZE, 0);
			if (how == 4)
				uffd_writeprotect(fd, at(3), PAGE_SIZE, 1);
			syscall3(__NR_write, ends[1], "x", 1);
			*(volatile char *)at(how == 4 ? 3 : 0) = 1;
			exit_group(0);
		}
		syscall3(__NR_read, ends[0], &byte, 1);
		if (how == 0)
			syscall2(__NR_kill, pid, 9);
		print("%s: signal %d\n", names[how], wait_for(pid) & 127);
		syscall1(__NR_close, ends[0]);
		syscall1(__NR_close, ends[1]);
	}
}

static int protected(size_t page, size_t pages)
{
	int fd = sys_open("/proc/self/pagemap", O_RDONLY), n = 0;

	for (size_t i = page; i < page + pages; i++) {
		uint64_t entry = 0;

		syscall4(__NR_pread64, fd, &entry, 8, (uintptr_t)at(i) / PAGE_SIZE * 8);
		n += (int)(entry >> 57) & 1;
	}
	syscall1(__NR_close, fd);
	return n;
}

static void events(void)
{
	const unsigned long all = EVENT_FORK | EVENT_REMAP | EVENT_REMOVE | EVENT_UNMAP;
	long pid;

	begin(all, MISSING | WP, COPY);
	(void)*(volatile char *)at(1);
	(void)*(volatile char *)at(2);
	print("dontneed: %d\n", syscall3(__NR_madvise, at(1), 2 * PAGE_SIZE, 4));
	print("free: %d\n", syscall3(__NR_madvise, at(3), PAGE_SIZE, 8));
	print("cold: %d\n", syscall3(__NR_madvise, at(3), PAGE_SIZE, 20));
	print("munmap: %d\n", syscall2(__NR_munmap, at(4), 2 * PAGE_SIZE));
	print("munmap of more: %d\n", syscall2(__NR_munmap, at(30), 4 * PAGE_SIZE));
	print("mmap: %d\n", (long)(map(7, 1, PROT_RW), 0));
	print("grow: %d\n", syscall6(__NR_mremap, (long)at(29), PAGE_SIZE, 2 * PAGE_SIZE, 0, 0, 0) == (long)at(29));
	print("shrink: %d\n", syscall6(__NR_mremap, (long)at(28), 2 * PAGE_SIZE, PAGE_SIZE, 0, 0, 0) == (long)at(28));
	print("move: %d\n", syscall6(__NR_mremap, (long)at(10), 2 * PAGE_SIZE, 2 * PAGE_SIZE, 3, (long)at(50), 0) == (long)at(50));
	print("move onto something: %d\n", syscall6(__NR_mremap, (long)at(12), PAGE_SIZE, PAGE_SIZE, 3, (long)at(20), 0) == (long)at(20));
	print("move and shrink: %d\n", syscall6(__NR_mremap, (long)at(13), 2 * PAGE_SIZE, PAGE_SIZE, 3, (long)at(54), 0) == (long)at(54));
	print("move and keep: %d\n", syscall6(__NR_mremap, (long)at(16), PAGE_SIZE, PAGE_SIZE, 7, (long)at(58), 0) == (long)at(58));
	print("read %d,", (long)*(volatile char *)at(50));
	print(" %d\n", (long)*(volatile char *)at(16));
	end("events", 0);

	begin(EVENT_FORK, MISSING, COPY);
	(void)*(volatile char *)at(1);
	pid = fork();
	if (pid == 0) {
		/* Its own faults go to a descriptor of the parent's, which is a copy here. */
		exit_group(*(volatile char *)at(1));
	}
	print("child: %d\n", wait_for(pid) >> 8);
	end("fork", 0);

	/* The monitor of a child: a fault there is read from the descriptor that the event has brought. */
	{
		int fd, child;
		struct uffd_msg msg;

		begin(EVENT_FORK, MISSING, COPY);
		pid = fork();
		if (pid == 0)
			exit_group(*(volatile char *)at(9));
		/* Parent and child go on as soon as there is a descriptor, before the monitor has its number. */
		while (__atomic_load_n(&monitor.count, __ATOMIC_ACQUIRE) == 0)
			syscall0(__NR_sched_yield);
		fd = monitor.fd;
		child = -1;
		for (int i = 0; i < monitor.count; i++)
			if (monitor.log[i].event == UFFD_EVENT_FORK)
				child = (int)monitor.log[i].arg.fork.ufd;
		print("of the child: read %d,", uffd_read(child, &msg));
		place("page", msg.arg.pagefault.address);
		print(", copy %d\n", uffd_copy(child, (void *)msg.arg.pagefault.address, source, PAGE_SIZE, 0));
		print("child: %d\n", wait_for(pid) >> 8);
		print("copy into a process that is gone: %d\n", uffd_copy(child, at(10), source, PAGE_SIZE, 0));
		print("register: %d\n", uffd_register(child, at(10), PAGE_SIZE, MISSING, NULL));
		print("protect: %d\n", uffd_writeprotect(child, at(10), PAGE_SIZE, 1));
		print("move: %d\n", uffd_move(child, at(10), at(11), PAGE_SIZE, 0));
		syscall1(__NR_close, child);
		monitor.fd = fd;
		end("fork", 0);
	}
	/* What is protected is so in the child, if somebody can answer for it there. */
	for (int i = 0; i < 2; i++) {
		begin(UNPOPULATED | (i == 0 ? EVENT_FORK : 0), MISSING | WP, COPY);
		*(volatile char *)at(0) = 1;
		*(volatile char *)at(1) = 1;
		uffd_writeprotect(monitor.fd, at(0), 3 * PAGE_SIZE, 1);
		pid = fork();
		if (pid == 0)
			exit_group(protected(0, 4));
		print("protected in the child: %d\n", wait_for(pid) >> 8);
		print("in the parent: %d\n", (long)protected(0, 4));
		end("fork", 0);
	}
	/* Without the event a child has ordinary memory. */
	begin(0, MISSING, COPY);
	pid = fork();
	if (pid == 0)
		exit_group(*(volatile char *)at(9));
	print("child: %d\n", wait_for(pid) >> 8);
	end("no event", 0);
}

/* A process that forks: until that has been read, nothing is filled in. */
static long forker_flags;

static void forker(void)
{
	long pid = syscall6(__NR_clone, SIGCHLD | forker_flags, 0, 0, 0, 0, 0);

	if (pid == 0)
		exit_group(0);
	wait_for(pid);
	thread_end();
}

static void await(int fd)
{
	struct { int fd; short events, revents; } poll = { fd, 1, 0 };

	syscall6(__NR_ppoll, (long)&poll, 1, 0, 0, 0, 0);
}

static void meanwhile(void)
{
	static unsigned int alive;
	struct uffd_msg msg;
	int fd = uffd_open(O_NONBLOCK, EVENT_FORK);
	long result;

	map(0, 8, PROT_RW);
	*(volatile char *)at(7) = 1;
	uffd_register(fd, at(0), 6 * PAGE_SIZE, MISSING | WP, NULL);
	begin_thread(&alive, forker);
	await(fd);
	result = uffd_copy(fd, at(0), source, PAGE_SIZE, 0);
	print("copy: %d, done %d\n", result, uffd_done);
	result = uffd_zeropage(fd, at(0), PAGE_SIZE, 0);
	print("zeros: %d, done %d\n", result, uffd_done);
	result = uffd_poison(fd, at(0), PAGE_SIZE, 0);
	print("poison: %d, done %d\n", result, uffd_done);
	result = uffd_move(fd, at(0), at(7), PAGE_SIZE, 0);
	print("move: %d, done %d\n", result, uffd_done);
	print("protect: %d\n", uffd_writeprotect(fd, at(0), PAGE_SIZE, 1));
	print("wake: %d\n", uffd_wake(fd, at(0), PAGE_SIZE));
	result = uffd_read(fd, &msg);
	print("read: %d, event %x\n", result, (unsigned long)msg.event);
	while ((result = uffd_copy(fd, at(0), source, PAGE_SIZE, 0)) == -11)
		syscall0(__NR_sched_yield);
	print("copy: %d, done %d\n", result, uffd_done);
	join(&alive);
	syscall1(__NR_close, (int)msg.arg.fork.ufd);

	/* Closed while somebody waits for his event to be read; a child with files of its own would have it open, too. */
	forker_flags = CLONE_FILES;
	begin_thread(&alive, forker);
	await(fd);
	syscall1(__NR_close, fd);
	join(&alive);
	print("closed\n");
	syscall2(__NR_munmap, at(0), 8 * PAGE_SIZE);
}

static void toucher(void)
{
	(void)*(volatile char *)at(3);
	thread_end();
}

/* Children that end, or that exec, while a thread of theirs waits. */
static void ends(char *self)
{
	for (int how = 0; how < 3; how++) {
		long pid = fork();

		if (pid == 0) {
			static unsigned int alive;
			int fd = uffd_open(O_NONBLOCK, 0);
			char *args[] = { self, "after exec", NULL }, *none[] = { NULL };

			map(0, 8, PROT_RW);
			uffd_register(fd, at(0), 8 * PAGE_SIZE, MISSING, NULL);
			begin_thread(&alive, toucher);
			await(fd);
			if (how == 0)
				exit_group(7);
			if (how == 1)
				syscall2(__NR_kill, syscall0(__NR_getpid), 9);
			syscall3(__NR_dup3, fd, 77, 0);
			syscall3(__NR_execve, "/proc/self/exe", args, none);
			exit_group(1);
		}
		print("ends with %x\n", (unsigned long)wait_for(pid));
	}
}

/* The descriptor of a process that is another program now. */
static int after_exec(void)
{
	struct uffd_msg msg;

	print("read: %d\n", uffd_read(77, &msg));
	print("copy: %d\n", uffd_copy(77, (void *)0x10000000, "", PAGE_SIZE, 0));
	print("register: %d\n", uffd_register(77, (void *)0x10000000, PAGE_SIZE, MISSING, NULL));
	print("unregister: %d\n", uffd_unregister(77, (void *)0x10000000, PAGE_SIZE));
	print("protect: %d\n", uffd_writeprotect(77, (void *)0x10000000, PAGE_SIZE, 1));
	print("wake: %d\n", uffd_wake(77, (void *)0x10000000, PAGE_SIZE));
	print("close: %d\n", syscall1(__NR_close, 77));
	return 3;
}

static void huge(void)
{
	const size_t size = 2 * MIB;
	char *room = map_anonymous(3 * size);
	char *p = (char *)(((uintptr_t)room + size - 1) & -size);
	int fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	int zero = sys_open("/dev/zero", O_RDONLY);

	print("huge pages: %d\n", syscall3(__NR_madvise, p, size, MADV_HUGEPAGE));
	uffd_register(fd, p, size, MISSING | WP, NULL);
	print("read: %d\n", syscall3(__NR_read, zero, p, 1));
	print("copy: %d\n", uffd_copy(fd, p + PAGE_SIZE, source, PAGE_SIZE, 0));
	print("read: %d\n", syscall3(__NR_read, zero, p, 1));
	print("read: %d\n", syscall3(__NR_read, zero, p + PAGE_SIZE, 1));
	uffd_unregister(fd, p, size);
	syscall3(__NR_madvise, p, size, MADV_DONTNEED);
	syscall2(__NR_munmap, room, 3 * size);
	room = map_anonymous(3 * size);
	p = (char *)(((uintptr_t)room + size - 1) & -size);
	syscall3(__NR_madvise, p, size, MADV_HUGEPAGE);
	*(volatile char *)p = 7;
	uffd_register(fd, p, size, MISSING | WP, NULL);
	print("copy onto it: %d\n", uffd_copy(fd, p + PAGE_SIZE, source, PAGE_SIZE, 0));
	print("protect: %d\n", uffd_writeprotect(fd, p, size, 1));
	print("read: %d\n", syscall3(__NR_read, zero, p + 8 * PAGE_SIZE, 1));
	print("resolve: %d\n", uffd_writeprotect(fd, p, size, 0));
	print("read: %d\n", syscall3(__NR_read, zero, p + 8 * PAGE_SIZE, 1));
	print("protect a part: %d\n", uffd_writeprotect(fd, p + 4 * PAGE_SIZE, 2 * PAGE_SIZE, 1));
	print("read: %d\n", syscall3(__NR_read, zero, p + 5 * PAGE_SIZE, 1));
	print("read: %d\n", syscall3(__NR_read, zero, p + 6 * PAGE_SIZE, 1));
	print("has %d\n", (long)*p);
	syscall1(__NR_close, fd);
	syscall1(__NR_close, zero);
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	if (argc > 1)
		return after_exec();
	arena = map_anonymous(PAGES * PAGE_SIZE);
	source = map_anonymous(PAGE_SIZE);
	memset(source, 'c', PAGE_SIZE);
	syscall2(__NR_munmap, arena, PAGES * PAGE_SIZE);
	faults();
	shared();
	kernel_faults();
	threads();
	deaths();
	events();
	meanwhile();
	ends(argv[0]);
	huge();
	return 0;
}
