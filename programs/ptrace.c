/*
 * ptrace: what a tracer does to a child, what wait4() tells it meanwhile, and what it is refused. Prints the same on any
 * Linux.
 */
#include <linux/ptrace.h>

#include "process.h"

#define SIGSTOP_ 19
#define SIGUSR1_ 10
#define SIGKILL_ 9
#define WALL 0x40000000

static volatile long shared_word = 0x1234;

static long trace(long request, long pid, long addr, long data)
{
	return syscall4(__NR_ptrace, request, pid, addr, data);
}

static void wait_for(const char *what, long pid, int options)
{
	int status = 0;
	long got = syscall4(__NR_wait4, pid, &status, options, 0);

	print("%s: wait %s, status %x\n", what, got == pid ? "child" : got == 0 ? "nobody" : "error", (unsigned long)(unsigned int)status);
}

static long peek(long pid, const volatile void *addr)
{
	long word = 0;
	long error = trace(PTRACE_PEEKDATA, pid, (long)addr, (long)&word);

	return error < 0 ? error : word;
}

static void refused(long pid)
{
	print("attach to oneself: %d\n", trace(PTRACE_ATTACH, syscall0(__NR_getpid), 0, 0));
	print("attach to nobody: %d\n", trace(PTRACE_ATTACH, 4000000, 0, 0));
	print("peek at who is not traced: %d\n", peek(pid, (const void *)&shared_word));
	print("seize with options that are none: %d\n", trace(PTRACE_SEIZE, pid, 0, 1 << 30));
}

static void attached(void)
{
	long pid = fork_();

	if (pid == 0) {
		while (shared_word != 7)
			sleep_ms(1);
		exit_group(shared_word == 7 ? 3 : 4);
	}
	refused(pid);
	print("attach: %d\n", trace(PTRACE_ATTACH, pid, 0, 0));
	wait_for("after it", pid, 0);
	print("attach again: %d\n", trace(PTRACE_ATTACH, pid, 0, 0));
	print("peek: %x\n", peek(pid, &shared_word));
	print("peek where nothing is: %d\n", peek(pid, (const void *)16));
	print("poke where nothing is: %d\n", trace(PTRACE_POKEDATA, pid, 16, 1));
	print("an unknown request: %d\n", trace(0x7777, pid, 0, 0));
	print("go on with signal 65: %d\n", trace(PTRACE_CONT, pid, 0, 65));
	print("go on: %d\n", trace(PTRACE_CONT, pid, 0, 0));
	print("peek while it runs: %d\n", peek(pid, &shared_word));
	wait_for("while it runs", pid, 1);
	syscall2(__NR_kill, pid, SIGUSR1_);
	wait_for("a signal", pid, 0);
	print("poke all of a word: %d", trace(PTRACE_POKEDATA, pid, (long)&shared_word, 0x7123456789abcdef));
	print(", peek: %x\n", peek(pid, &shared_word));
	print("poke: %d\n", trace(PTRACE_POKEDATA, pid, (long)&shared_word, 8));
	print("go on without it: %d\n", trace(PTRACE_CONT, pid, 0, 0));
	syscall2(__NR_kill, pid, SIGSTOP_);
	wait_for("SIGSTOP", pid, 0);
	print("poke: %d\n", trace(PTRACE_POKEDATA, pid, (long)&shared_word, 7));
	print("own copy: %x\n", shared_word);
	print("let go: %d\n", trace(PTRACE_DETACH, pid, 0, 0));
	wait_for("its end", pid, 0);
}

static void system_calls(void)
{
	long pid = fork_();

	if (pid == 0) {
		print("traced by its parent: %d\n", trace(PTRACE_TRACEME, 0, 0, 0));
		print("again: %d\n", trace(PTRACE_TRACEME, 0, 0, 0));
		syscall2(__NR_kill, syscall0(__NR_getpid), SIGSTOP_);
		syscall0(__NR_getppid);
		exit_group(0);
	}
	wait_for("it stops itself", pid, 0);
	print("options: %d\n", trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
	for (int i = 0; i < 4; i++) {
		print("to a system call: %d\n", trace(PTRACE_SYSCALL, pid, 0, 0));
		wait_for("there", pid, 0);
	}
	print("go on: %d\n", trace(PTRACE_CONT, pid, 0, SIGUSR1_));
	wait_for("its end", pid, 0);
}

static void executed(void)
{
	static const char *const arguments[] = { "ptrace", "again", NULL };
	long pid = fork_();

	if (pid == 0) {
		trace(PTRACE_TRACEME, 0, 0, 0);
		syscall3(__NR_execve, "/proc/self/exe", arguments, NULL);
		exit_group(1);
	}
	wait_for("its execve", pid, 0);
	print("go on: %d\n", trace(PTRACE_CONT, pid, 0, 0));
	wait_for("its end", pid, 0);
}

/* A child traces another one, which ends; and does not wait for it, or does. */
static void traced_by_another(int waits)
{
	long victim = fork_(), tracer;
	int status = 0;

	if (victim == 0) {
		for (;;)
			sleep_ms(1000);
	}
	tracer = fork_();
	if (tracer == 0) {
		trace(PTRACE_SEIZE, victim, 0, 0);
		syscall2(__NR_kill, victim, SIGKILL_);
		if (waits)
			wait_for("the tracer", victim, 0);
		else
			sleep_ms(20);
		exit_group(0);
	}
	status = (int)syscall4(__NR_wait4, tracer, &status, 0, 0);
	print("the tracer has ended: %d\n", status == tracer);
	wait_for("the parent", victim, 0);
	wait_for("once more", victim, 1);
}

static void seized(void)
{
	long pid = fork_();

	if (pid == 0) {
		for (;;)
			sleep_ms(1000);
	}
	print("seize: %d\n", trace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL));
	wait_for("nothing has happened", pid, 1 | WALL);
	print("interrupt: %d\n", trace(PTRACE_INTERRUPT, pid, 0, 0));
	wait_for("now", pid, WALL);
	print("go on with a signal where there is none: %d\n", trace(PTRACE_CONT, pid, 0, 0));
	syscall2(__NR_kill, pid, SIGUSR1_);
	wait_for("a signal", pid, 0);
	print("go on with it: %d\n", trace(PTRACE_CONT, pid, 0, SIGUSR1_));
	wait_for("its end", pid, 0);
}

int main(int argc, char **argv, char **envp)
{
	(void)argv;
	(void)envp;
	if (argc > 1)
		return 5;
	attached();
	system_calls();
	executed();
	seized();
	traced_by_another(1);
	traced_by_another(0);
	return 0;
}
